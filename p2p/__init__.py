"""The network: opaque keys, and the peers that provide them."""
