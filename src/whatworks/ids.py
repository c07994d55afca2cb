"""Identifiers: time-ordered ones for events, content hashes for what repeats."""

from __future__ import annotations

import os
import threading
import time

try:  # hashlib holds the same function, behind OpenSSL: two milliseconds and megabytes
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["content_id", "uuid7", "uuid7s"]

_lock = threading.Lock()
_last = 0
# Asking the system costs ten times what the rest of an id does; it is asked for many at once.
_BYTES, _IDS = 8, 512
_random: list[str] = []  # what stands behind the time: a variant and fifteen hex digits of chance
# The child of a fork would give out what its parent does.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.clear)
_MILLISECONDS = (1 << 48) - 1
_VARIANT = {f"{digit:x}": f"{0b1000 | digit & 0b11:x}" for digit in range(16)}


def uuid7() -> str:
    """A new UUID version 7 as text; later calls in this process sort after earlier ones.

    The 12 bits after the millisecond count within it, so that ids made in
    the same millisecond keep their order (RFC 9562, section 6.2, method 3).
    """
    return uuid7s(1)[0]


def uuid7s(count: int) -> list[str]:
    """So many of them, in their order."""
    global _last
    with _lock:
        first = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = first + count - 1
        while len(_random) < count:
            drawn = os.urandom(_BYTES * _IDS).hex()
            _random.extend(
                f"{_VARIANT[drawn[at]]}{drawn[at + 1 : at + 4]}-{drawn[at + 4 : at + 16]}"
                for at in range(0, len(drawn), 2 * _BYTES)
            )
        at = len(_random) - count
        chances = _random[at:]
        del _random[at:]
    made, tick = list[str](), first
    while len(made) < count:  # those of one millisecond begin alike
        stem, low = f"{tick >> 12 & _MILLISECONDS:012x}", tick & 4095
        stem = f"{stem[:8]}-{stem[8:]}-7"
        part = chances[len(made) : len(made) + 4096 - low]
        made += [f"{stem}{nth:03x}-{chance}" for nth, chance in enumerate(part, low)]
        tick += len(part)
    return made


def content_id(*parts: str) -> str:
    """Sixteen hex digits that depend on the parts alone: the same content, the same id.

    64 bits: among a million contents, two share an id with probability 3e-8.
    """
    digest = blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
