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
_random: list[str] = []  # sixteen hex digits each
# The child of a fork would give out what its parent does.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.clear)
_TICKS = (1 << 60) - 1
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
            _random.extend(drawn[at : at + 2 * _BYTES] for at in range(0, len(drawn), 2 * _BYTES))
        at = len(_random) - count
        chances = _random[at:]
        del _random[at:]
    return [_uuid(first + nth, chance) for nth, chance in enumerate(chances)]


def _uuid(tick: int, chance: str) -> str:
    time = f"{tick & _TICKS:015x}"
    return f"{time[:8]}-{time[8:12]}-7{time[12:]}-{_VARIANT[chance[0]]}{chance[1:4]}-{chance[4:]}"


def content_id(*parts: str) -> str:
    """Sixteen hex digits that depend on the parts alone: the same content, the same id.

    64 bits: among a million contents, two share an id with probability 3e-8.
    """
    digest = blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
