"""Where this machine was told to put snapshots: in which folders on S3 it may remove and write.

Which snapshots there are stands in the team's database, where others write as well. What they write
there must not have this machine send its journal somewhere, or remove what is no snapshot, with
credentials of its own.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from whatworks import config
from whatworks.errors import StoreError, disk_error
from whatworks.team import settings

__all__ = ["name", "tell", "told", "vouched"]

FILE = "snapshots.json"
MADE = 5  # the version of ids that are made of others; a store has no such one
_PLACE = r"/[0-9]{12,19}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def name(folder: Path) -> str:
    """Under which id all lies that the team of the store in ``folder`` keeps at addresses it was given.

    No other namespace has it, also where teams were begun from copies of one store, and were given one
    address: what one of them removes is its own. What the database says does not change it.
    """
    store_id = config.load(folder).store_id
    space = settings.split_namespace(settings.load(folder).url)[1]
    if space is not None:
        return str(uuid5(NAMESPACE_URL, f"{store_id}?namespace={space}"))
    with suppress(ValueError):
        if str(found := UUID(store_id)) == store_id and found.version != MADE:
            return store_id
    # The database said so: it is that of another namespace, or a part of one.
    raise StoreError(f"the team's id is {store_id!r}, which no store has: nothing is put under it")


def told(folder: Path) -> tuple[str, ...]:
    """The addresses that were given to the store in ``folder``, the last one last.

    Raises
    ------
    StoreError
        The file cannot be read.
    """
    path = folder / FILE
    try:
        values = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise disk_error(error, f"read {path}") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}; remove it") from error
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise StoreError(f"{path} is damaged: expected a list of addresses; remove it")
    return tuple(values)


def tell(folder: Path, url: str) -> None:
    """Keep an address that was given."""
    before = told(folder)
    if before[-1:] == (url,):
        return
    try:
        config.replace_file(
            folder / FILE, orjson.dumps([*(e for e in before if e != url), url]) + b"\n"
        )
    except OSError as error:
        raise disk_error(error, f"write {folder / FILE}") from error


def vouched(folder: Path, row: Any) -> bool:
    """Whether a row of the database is of a snapshot of this team, in a folder that was told here."""
    own = re.escape(name(folder))
    return row["url"] in told(folder) and re.fullmatch(own + _PLACE, row["place"]) is not None
