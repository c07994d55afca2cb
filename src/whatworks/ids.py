"""Identifiers: time-ordered ones for events, content hashes for what repeats."""

from __future__ import annotations

import os
import threading
import time

try:  # hashlib holds the same function, behind OpenSSL: two milliseconds and megabytes
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["content_id", "uuid7"]

_lock = threading.Lock()
_last = 0
# Asking the system costs ten times what the rest of an id does; it is asked for many at once.
_BYTES, _IDS = 8, 512
_random: list[bytes] = []
# The child of a fork would give out what its parent does.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.clear)


def uuid7() -> str:
    """A new UUID version 7 as text; later calls in this process sort after earlier ones.

    The 12 bits after the millisecond count within it, so that ids made in
    the same millisecond keep their order (RFC 9562, section 6.2, method 3).
    """
    global _last
    with _lock:
        tick = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = tick
        if not _random:
            drawn = os.urandom(_BYTES * _IDS)
            _random.extend(drawn[at : at + _BYTES] for at in range(0, len(drawn), _BYTES))
        chance = _random.pop()
    first, second = tick >> 28 & 0xFFFFFFFF, tick >> 12 & 0xFFFF
    last = 0b10 << 62 | int.from_bytes(chance, "big") >> 2
    return f"{first:08x}-{second:04x}-7{tick & 0xFFF:03x}-{last >> 48:04x}-{last & (1 << 48) - 1:012x}"


def content_id(*parts: str) -> str:
    """Sixteen hex digits that depend on the parts alone: the same content, the same id.

    64 bits: among a million contents, two share an id with probability 3e-8.
    """
    digest = blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
