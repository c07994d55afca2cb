"""Where a store lies, and what it says of itself in ``store.json``."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any

from whatworks import failpoints, places, system
from whatworks.errors import (
    InvalidInputError,
    NotFoundError,
    SchemaVersionError,
    StoreError,
    disk_error,
)
from whatworks.ids import uuid7
from whatworks.places import FILE, FOLDER

__all__ = [
    "FILE",
    "FOLDER",
    "FORGETS",
    "FORMAT",
    "REORDER",
    "REORDERING",
    "TEAM",
    "Config",
    "Current",
    "address",
    "create",
    "load",
    "locate",
    "mark",
    "replace_file",
    "require_free",
    "require_private",
    "save",
]

# Raise when an older whatworks could not read a store any more. A store of a team has 2: an
# older one would go on writing what other machines have begun. All others still have 1.
FORMAT, ALONE = 2, 1
# A file that is written anew whenever something is forgotten, so that other processes know.
FORGETS = "forgotten"
# There while the evidence is to be made anew, since records came too late to be folded in their order.
# The other one while that is done: what is marked meanwhile is for the next time.
REORDER, REORDERING = "reorder", "reordering"
# What a store of a team knows of it; see ``team.settings``.
TEAM = "team.json"


@dataclass(frozen=True, slots=True)
class Config:
    """What must be known before a store is opened."""

    format: int
    store_id: str
    embedder: str
    dim: int | None
    vectors: str
    generation: int = 1
    # The store of the vectors before the last migration, which can be gone back to.
    former: str | None = None
    former_generation: int | None = None
    # Which machine of a team this store is; ``None`` where it is alone.
    machine: str | None = None

    def next_generation(self) -> int:
        """A number that no store of vectors has had that may still be there."""
        return max(self.generation, self.former_generation or 0) + 1

    def generations(self) -> set[str]:
        """The folders of vectors that are not left over."""
        return {str(self.generation), str(self.former_generation)}

    def in_team(self, machine: str) -> Config:
        """A copy that is one of the stores of a team."""
        return self.changed(format=FORMAT, machine=machine)

    def changed(self, **values: Any) -> Config:
        """A copy with other values."""
        return replace(self, **values)


# What each value must be; numbers are at least 1. Parts of it become paths.
_KINDS: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "store_id": str,
    "embedder": str,
    "dim": (int, NoneType),
    "vectors": str,
    "generation": int,
    "former": (str, NoneType),
    "former_generation": (int, NoneType),
    "machine": (str, NoneType),
}


def locate(path: str | os.PathLike[str] | None) -> Path:
    """The folder of the store that is meant.

    ``path`` itself, or where this user has the store of the team whose address it is; without it
    ``$WHATWORKS_STORE``; without that the nearest ``.whatworks`` in the working directory or above;
    else the user's data directory.

    Raises
    ------
    StoreError
        The nearest ``.whatworks`` was not made by this user on this machine.
    """
    if path is not None:
        if not isinstance(path, (str, os.PathLike)) or not str(path):
            raise InvalidInputError(f"the store's path is {path!r}; expected a path")
        return _absolute(path)
    if named := os.environ.get("WHATWORKS_STORE"):
        return _absolute(named)
    found = places.nearest()
    if found is None:
        return _absolute(places.default())
    place = _absolute(found)
    if not places.is_own(place):
        import shlex

        raise StoreError(
            f"the store {place} was not made by you on this machine and may have come with a "
            f"repository: whatworks init --store {shlex.quote(str(place))} takes it for your own, "
            "else name another"
        )
    return place


def address(path: str | os.PathLike[str] | None) -> str | None:
    """The address of the team's database, where the store that is meant is named by it."""
    named = os.environ.get("WHATWORKS_STORE") if path is None else path
    return str(named) if places.is_address(named) else None


def _absolute(path: str | os.PathLike[str]) -> Path:
    try:
        if places.is_address(path):
            return places.of_team(str(path)).absolute()
        found = Path(path).expanduser().absolute()
        if b"\0" in str(found).encode():  # engines and messages need UTF-8
            raise ValueError("it has a NUL")
    except (TypeError, ValueError, RuntimeError) as error:
        shown = "of a database" if places.is_address(path) else repr(path)  # it may hold a password
        raise InvalidInputError(
            f"the path {shown} cannot be used: {error}; give another one"
        ) from error
    return found


def load(folder: Path) -> Config:
    """The configuration of the store in ``folder``.

    Raises
    ------
    NotFoundError
        No store there.
    SchemaVersionError
        It was written by a newer whatworks.
    StoreError
        The file is there and does not say what it should.
    """
    import msgspec  # as is needed to ask; a process that only asks needs no other reader of JSON

    try:
        values = msgspec.json.decode((folder / FILE).read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no store in {folder}: create one with whatworks init") from error
    except NotADirectoryError as error:
        raise StoreError(f"{folder} is a file; expected the folder of a store") from error
    except PermissionError as error:
        raise StoreError(f"{folder / FILE} may not be read: check its owner and mode") from error
    except OSError as error:
        raise disk_error(error, f"read {folder / FILE}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise StoreError(f"{folder / FILE} is damaged: {error}; restore it from a backup") from error
    found = values.get("format") if isinstance(values, dict) else None
    if not isinstance(found, int):
        raise StoreError(f"{folder / FILE} is damaged: it names no format; restore it from a backup")
    if found > FORMAT:
        raise SchemaVersionError(
            f"the store in {folder} has format {found}, this whatworks knows {FORMAT}: "
            "pip install --upgrade whatworks"
        )
    for name, kinds in _KINDS.items():
        value = values.get(name)
        if not isinstance(value, kinds) or (isinstance(value, int) and value < 1):
            raise StoreError(f"{folder / FILE} is damaged at {name!r}; restore it from a backup")
    return Config(**{name: values.get(name) for name in _KINDS})


def require_private(folder: Path) -> None:
    """Raise if other users of this machine may write to a store."""
    if os.name != "posix":
        return
    with suppress(OSError):
        found = folder.stat()
        if os.geteuid() not in (found.st_uid, 0):
            raise StoreError(f"the store {folder} belongs to another user; give one of your own")
        # What lies in a folder that nobody else may enter is out of their reach, whatever its mode.
        inner = [folder / "journal"] if found.st_mode & 0o077 else []
        for path in (folder, *inner):
            mode = path.stat().st_mode
            if mode & 0o022:
                raise StoreError(
                    f"other users may write to {path} (mode {mode & 0o777:o}): look whether all of the "
                    f"store is yours, then chmod -R go= {folder}"
                )


def require_free(folder: Path) -> None:
    """Raise if ``folder`` holds something else than a store, or what is left of making one."""
    try:
        if not folder.is_dir():
            return
        others = sorted(item.name for item in folder.iterdir() if not _left_over(item))
        # In this order: another process may make the store meanwhile, and record.
        if (folder / FILE).exists():
            return
    except OSError as error:
        raise disk_error(error, f"read {folder}") from error
    if others:
        raise StoreError(
            f"{folder} holds other files ({others[0]}, ...) and no store; give an empty folder"
        )


def create(
    folder: Path,
    *,
    embedder: str,
    dim: int | None,
    vectors: str,
    store_id: str | None = None,
    machine: str | None = None,
) -> Config:
    """Make the folder of a new store, private to its owner, and write its configuration.

    ``store_id`` and ``machine`` where it is to be one of the stores of a team.
    """
    config = Config(ALONE, store_id or uuid7(), embedder, dim, vectors)
    if machine is not None:
        config = config.in_team(machine)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        failpoints.reached("store.founded")
        require_free(folder)
        folder.chmod(0o700)  # it may have been there; not all engines make private files
        (folder / "journal").mkdir(exist_ok=True, mode=0o700)
        failpoints.reached("store.prepared")
        save(folder, config)
        if folder.name == FOLDER:
            places.make_own(folder)
    except FileExistsError as error:
        raise StoreError(f"{folder} is a file; expected a folder for the store") from error
    except OSError as error:
        raise disk_error(error, f"create a store in {folder}") from error
    return config


def _left_over(item: Path) -> bool:
    """What an interrupted ``create`` may leave, or a hook."""
    if item.name == "journal":
        return item.is_dir() and not any(item.iterdir())
    if item.name == "spool":  # hooks write before there is a store
        return item.is_dir()
    return item.name in ("keeper.lock", f"{FILE}.tmp", TEAM)


def save(folder: Path, config: Config) -> None:
    """Write the configuration: the old one stands until the new one is whole on the disk."""
    import orjson

    body = orjson.dumps(asdict(config), option=orjson.OPT_INDENT_2) + b"\n"
    own = folder.name == FOLDER and places.is_own(folder)
    try:
        replace_file(folder / FILE, body)
        if own:
            places.make_own(folder)
    except OSError as error:
        raise disk_error(error, f"write {folder / FILE}") from error


class Current:
    """The configuration of a store that is kept, as it is ``now``, for all who read or change it."""

    def __init__(self, folder: Path, now: Config) -> None:
        self.now = now
        self._folder = folder

    def save(self, made: Config) -> None:
        """Write another one, which is that of now once it is on the disk."""
        save(self._folder, made)
        self.now = made


def replace_file(path: Path, body: bytes) -> None:
    """Put ``body`` in the place of a file, all of it or nothing, and onto the disk."""
    draft = path.with_name(f"{path.name}.tmp")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(body)
        file.flush()
        failpoints.reached("file.drafted")
        os.fsync(file.fileno())
    failpoints.reached("file.synced")
    draft.replace(path)
    failpoints.reached("file.replaced")
    system.sync(path.parent)


def mark(path: Path) -> None:
    """Have an empty file on the disk, which several may ask for at the same time."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    system.sync(path.parent)
