"""The files that a reader is given, one or those below a folder, and how they are opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import BinaryIO

from whatworks.errors import InvalidInputError
from whatworks.readers.items import Fault, Link, printable

__all__ = ["files_at", "opened", "refuse_archive"]

# What compressed files and archives begin with: they are refused, whatever their name.
_ARCHIVES = {
    b"PK\x03\x04": "ZIP",
    b"PK\x05\x06": "ZIP",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\x04\x22\x4d\x18": "LZ4",
}
_TAR_AT, _TAR = 257, b"ustar"


def files_at(
    path: Path,
    wanted: Callable[[str], bool],
    *,
    most: int,
    expected: str,
    passed_over: Container[str] = (),
) -> Iterator[Path | Fault | Link]:
    """``path`` itself if it is a file, else the files below it whose names are wanted, in order.

    Folders named in ``passed_over`` are not entered. Links to folders and to wanted names are told of
    and not followed, and what has a wanted name and is no file is a fault.

    Raises
    ------
    InvalidInputError
        There is no such file or folder (``expected`` says what to give), or it
        holds more than ``most`` such files.
    """
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise InvalidInputError(f"{printable(path)} is no file or folder; give {expected}")
    found = 0
    for folder, names, files in os.walk(path, followlinks=False):
        names[:] = sorted(name for name in names if name not in passed_over)
        linked = [name for name in names if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*linked, *filter(wanted, files)]):
            file = Path(folder, name)
            if file.is_symlink():
                yield Link(printable(file))
                continue
            if not file.is_file():
                yield Fault(printable(file), "file", "it is a pipe, a socket or a device; give a file")
                continue
            found += 1
            if found > most:
                raise InvalidInputError(f"{path} holds more than {most:,} files; give a part")
            yield file


def opened(path: Path) -> BinaryIO:
    """A regular file, open to be read in bytes.

    Raises
    ------
    InvalidInputError
        There is none, it is of another kind, or an archive.
    """
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = open(os.open(path, flags), "rb")  # noqa: SIM115  the caller closes it
    except OSError as error:
        raise InvalidInputError(f"{printable(path)} cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidInputError(f"{printable(path)} is no regular file; give a file")
        refuse_archive(file.read(_TAR_AT + len(_TAR)), path)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def refuse_archive(begin: bytes, path: Path) -> None:
    """Raise if a file that begins so holds others, or is compressed: nobody knows how large it gets."""
    kinds = [kind for mark, kind in _ARCHIVES.items() if begin.startswith(mark)]
    if begin[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        kinds.append("tar")
    if kinds:
        raise InvalidInputError(f"{printable(path)} is an archive ({kinds[0]}); unpack it first")
