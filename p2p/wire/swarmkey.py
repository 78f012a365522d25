"""The shared secret of a private network, in the forms in which operators have it."""

from __future__ import annotations

import base64
import binascii

PSK_BYTES = 32
_HEADER = b"/key/swarm/psk/1.0.0/"


def parse_psk(data: bytes) -> bytes:
    """Reads a `swarm.key` file, 64 hex digits, or raw bytes of which the first 32 count.

    K3s uses the first 32 of the 48 bytes of its cluster's IPsec secret in that way.

    Raises:
        ValueError: It holds no 32 bytes; the message never shows any of them.
    """
    if data.startswith(_HEADER):
        return _parse_swarm_key(data)
    text = data.strip()
    if len(text) == 2 * PSK_BYTES:
        try:
            return binascii.unhexlify(text)
        except binascii.Error:
            pass
    if len(data) < PSK_BYTES:
        raise ValueError(
            f"the pre-shared key has {len(data)} bytes: expected a swarm.key file, "
            "64 hex digits, or at least 32 raw bytes"
        )
    return data[:PSK_BYTES]


def _parse_swarm_key(data: bytes) -> bytes:
    _, _, rest = data.partition(b"\n")
    encoding, _, value = rest.partition(b"\n")
    name = encoding.strip().decode("ascii", "replace")
    try:
        if name == "/base16/":
            key = binascii.unhexlify(value.strip())
        elif name == "/base64/":
            key = base64.b64decode(value.strip(), validate=True)
        elif name == "/bin/":
            key = value[:PSK_BYTES]
        else:
            raise ValueError(
                f"swarm.key names the encoding {name[:20]!r}: expected /base16/, /base64/ or /bin/"
            )
    except binascii.Error as error:
        raise ValueError(f"swarm.key holds no valid {name} value") from error
    if len(key) != PSK_BYTES:
        raise ValueError(f"swarm.key holds {len(key)} bytes: expected 32")
    return key
