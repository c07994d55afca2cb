"""What namespaces may be called, and in which folder each lies: a namespace is a store under a root."""

from __future__ import annotations

import os
import re
from pathlib import Path

from whatworks import config
from whatworks.checks import shown
from whatworks.errors import InvalidInputError, StoreError, disk_error

__all__ = [
    "ROOT", "checked", "folder", "is_name", "is_rooted", "make_root", "require_root", "root",
]  # fmt: skip

# The variable that names the root, where --root does not.
ROOT = "WHATWORKS_ROOT"
# Small letters, so that no two are one folder where capitals do not count; no dots and no slashes,
# so that none is a file beside them or leads elsewhere.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def checked(value: str, what: str = "the namespace") -> str:
    """A name of a namespace, a token or a source: 1 to 63 of ``a-z``, ``0-9``, ``-`` and ``_``.

    Raises
    ------
    InvalidInputError
        It is something else, or begins with ``-`` or ``_``.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidInputError(
            f"{what} is {shown(value)}; expected at most 63 of a-z, 0-9, - and _, a letter or digit "
            "first"
        )
    return value


def is_name(value: str) -> bool:
    """Whether a text may be the name of a namespace."""
    return _NAME.fullmatch(value) is not None


def is_rooted() -> bool:
    """Whether ``$WHATWORKS_ROOT`` names a root."""
    return bool(os.environ.get(ROOT))


def root(given: str | os.PathLike[str] | None) -> Path:
    """The folder of all namespaces: the one given, else ``$WHATWORKS_ROOT``.

    Raises
    ------
    InvalidInputError
        Neither names one.
    """
    found = given or os.environ.get(ROOT)
    if not found:
        raise InvalidInputError(
            f"no root is named; give the folder of the namespaces with --root or ${ROOT}"
        )
    return config.locate(found)


def make_root(place: Path) -> None:
    """Make the folder of a root, private to its owner, unless it is there.

    Raises
    ------
    StoreError
        It is a store itself, a file, or others may write to it.
    """
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise disk_error(error, f"make the root {place}") from error
    require_root(place)


def require_root(place: Path) -> None:
    """Raise if a folder is no root that only its owner may write to."""
    if not place.is_dir():
        raise StoreError(
            f"there is no root {place}: whatworks token add NAME --namespace x --root {place} makes one"
        )
    if (place / config.FILE).exists():
        raise StoreError(f"{place} is a store; expected the folder of namespaces, each a store in it")
    config.require_private(place)


def folder(place: Path, name: str) -> Path:
    """The folder of a namespace, which need not be there yet.

    Raises
    ------
    InvalidInputError
        That is no name of a namespace.
    StoreError
        It is a link: two names for one store would be no border.
    """
    found = place / checked(name)
    if found.is_symlink():
        raise StoreError(f"{found} is a link; expected a folder: a namespace lies where its name says")
    return found
