"""Seeds derived from what they are for."""

import hashlib


def stable_seed(*parts: object) -> int:
    """A 31-bit seed that depends only on the parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1
