"""From a wanted digest and range to its bytes: sources, peers, verification."""
