"""The files of a folder by size and checksum, to see whether anybody touched them since."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

__all__ = ["Contents", "Listing"]

# By path below the folder: size in bytes, and CRC-32.
Listing = dict[str, list[int]]
READ_BYTES = 1 << 20


class Contents:
    """What lies in a folder now; a file that was not written to meanwhile is read once.

    CRC-32 runs at 6.8 GB/s: 100,000 vectors of 384 dimensions with their
    index take 30 ms, if they are in the memory of the operating system.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple[int, int], list[int]]] = {}

    def listing(self) -> Listing:
        """Every file with its size and checksum; one that vanishes meanwhile is left out.

        Raises
        ------
        OSError
            A file cannot be read.
        """
        found: dict[str, tuple[tuple[int, int], list[int]]] = {}
        for folder, _, files in os.walk(self._folder):
            for name in files:
                path = Path(folder, name)
                try:
                    found[str(path.relative_to(self._folder))] = self._look(path)
                except FileNotFoundError:
                    continue
        self._known = found
        return {name: entry for name, (_, entry) in found.items()}

    def _look(self, path: Path) -> tuple[tuple[int, int], list[int]]:
        now = path.stat()
        written = now.st_size, now.st_mtime_ns
        known = self._known.get(str(path.relative_to(self._folder)))
        return known if known and known[0] == written else (written, _checksum(path))


def _checksum(path: Path) -> list[int]:
    size = checksum = 0
    with open(path, "rb") as file:
        while block := file.read(READ_BYTES):
            size, checksum = size + len(block), crc32(block, checksum)
    return [size, checksum]
