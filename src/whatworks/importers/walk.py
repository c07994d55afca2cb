"""The files that an importer is given: one, or those below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from whatworks.errors import InvalidInputError

__all__ = ["files_at"]


def files_at(
    path: Path,
    wanted: Callable[[str], bool],
    *,
    most: int,
    expected: str,
    passed_over: Container[str] = (),
) -> Iterator[Path]:
    """``path`` itself if it is a file, else the files below it whose names are wanted, in order.

    Links are not followed, and folders named in ``passed_over`` not entered.

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
        raise InvalidInputError(f"{path} is no file or folder; give {expected}")
    found = 0
    for folder, names, files in os.walk(path, followlinks=False):
        names[:] = sorted(name for name in names if name not in passed_over)
        for name in sorted(files):
            file = Path(folder, name)
            if wanted(name) and not file.is_symlink() and file.is_file():
                found += 1
                if found > most:
                    raise InvalidInputError(f"{path} holds more than {most:,} files; give a part")
                yield file
