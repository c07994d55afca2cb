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


def uuid7() -> str:
    """A new UUID version 7 as text; later calls in this process sort after earlier ones.

    The 12 bits after the millisecond count within it, so that ids made in
    the same millisecond keep their order (RFC 9562, section 6.2, method 3).
    """
    global _last
    with _lock:
        tick = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = tick
    milliseconds, fraction = divmod(tick, 4096)
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8), "big") >> 2
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def content_id(*parts: str) -> str:
    """Sixteen hex digits that depend on the parts alone: the same content, the same id.

    64 bits: among a million contents, two share an id with probability 3e-8.
    """
    digest = blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
