"""Damage to a file, as disks and power cuts do it, chosen by a seed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

__all__ = ["damage", "flipped", "in_files"]

BLOCK = 4_096


def flipped(content: bytes, place: int, bit: int) -> bytes:
    """``content`` with one bit turned over."""
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _flip(content: bytes, random: Random) -> bytes:
    return flipped(content, random.randrange(len(content)), random.randrange(8))


def _garble(content: bytes, random: Random) -> bytes:
    """Several bits close together."""
    start = random.randrange(len(content))
    for _ in range(random.randint(2, 16)):
        place = min(start + random.randrange(64), len(content) - 1)
        content = flipped(content, place, random.randrange(8))
    return content


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content))]


def _zero_tail(content: bytes, random: Random) -> bytes:
    """What a file system leaves that knew the size before the data."""
    start = random.randrange(len(content))
    return content[:start] + bytes(len(content) - start)


def _zero_block(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content)) // BLOCK * BLOCK
    end = min(start + BLOCK, len(content))
    return content[:start] + bytes(end - start) + content[end:]


def _append_zeros(content: bytes, random: Random) -> bytes:
    return content + bytes(BLOCK)


def _empty(content: bytes, random: Random) -> bytes:
    return b""


# Flips are the most common, since they are the least likely to be noticed.
_KINDS: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_flip,) * 5,
    *(_garble,) * 2,
    *(_cut,) * 2,
    _zero_tail,
    _zero_block,
    _append_zeros,
    _empty,
)


def damage(path: Path, random: Random) -> str:
    """Damage a file in one of these ways; what was done, in a few words."""
    content = path.read_bytes()
    kind = random.choice(_KINDS) if content else _append_zeros
    path.write_bytes(kind(content, random))
    return f"{kind.__name__.strip('_')} of {path.name}"


def in_files(folder: Path, random: Random) -> str:
    """Damage one of the files in a folder, lose it, or leave a copy of it lying about."""
    path = random.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    way = random.randrange(10)
    if way == 0:
        path.unlink()
        return f"loss of {path.name}"
    if way == 1:
        shutil.copy(path, path.with_name(f"x{path.name}"))
        return f"copy of {path.name}"
    return damage(path, random)
