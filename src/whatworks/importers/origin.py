"""Where imported tries come from: a name and a hash that stand for the bytes of a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from whatworks.channels import IMPORT
from whatworks.readers.items import printable
from whatworks.redaction import Secrets
from whatworks.text import clean_text

__all__ = ["Given", "label", "named"]

MAX_NAME_BYTES = 80
BLOCK = 1 << 20
FLAGS = os.O_RDONLY
for _name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"):  # not every system has all of them
    FLAGS |= getattr(os, _name, 0)


def label(path: str | os.PathLike[str], secrets: Secrets, *, kind: str = IMPORT) -> str:
    """``import:NAME@HASH``: the base name of a file, and 16 hex digits of BLAKE2b of its bytes.

    What cannot be read (any more), and a folder, has the hash of nothing.
    """
    digest = blake2b(digest_size=8)
    try:
        # Not held up by what is no file, should one have taken its place.
        with open(os.open(path, FLAGS), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                while block := file.read(BLOCK):
                    digest.update(block)
    except OSError:
        pass
    return named(Path(path).name, digest.hexdigest(), secrets, kind=kind)


def named(name: str, digest: str, secrets: Secrets, *, kind: str = IMPORT) -> str:
    """The same, of what is no file: ``digest`` stands for its state."""
    plain = " ".join(clean_text(name).replace("@", "-").split())
    shown = clean_text(secrets.redacted(plain), max_bytes=MAX_NAME_BYTES)
    return f"{kind}:{shown or 'unnamed'}@{digest[:16]}"


class Given:
    """Files and folders that are imported, and the files in these by what their readers call them.

    A reader is not trusted: whatever it says, only what was given is opened, and nothing by a link.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        self._paths = [Path(path) for path in paths]
        self._folders = [os.path.realpath(path) for path in self._paths if path.is_dir()]
        self._below: dict[str, Path] | None = None

    def label(self, printed: str, secrets: Secrets) -> str:
        """The label of the file that is printed so; of nothing if there is none."""
        file = self._file(printed)
        if file is None:
            return named(Path(printed).name, blake2b(digest_size=8).hexdigest(), secrets)
        return label(file, secrets)

    def _file(self, printed: str) -> Path | None:
        for path in self._paths:
            if printable(path) == printed and not path.is_dir():
                return path
        if "\N{REPLACEMENT CHARACTER}" in printed:  # no path: bytes of its name are lost
            return self._printed().get(printed)
        real = Path(os.path.realpath(printed))
        return Path(printed) if any(map(real.is_relative_to, self._folders)) else None

    def _printed(self) -> dict[str, Path]:
        if self._below is None:
            walked = (found for path in self._paths for found in os.walk(path))
            files = (Path(folder, name) for folder, _, names in walked for name in names)
            self._below = {printable(file): file for file in files if not file.is_symlink()}
        return self._below
