"""Which store is meant where nobody names one; only the standard library, for hooks are in a hurry.

A folder ``.whatworks`` comes with a cloned repository as easily as with one's own work, and a
store says where its vectors go. So only those are found by themselves that were made here, as
a note in the user's own data folder says; others have to be named.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

__all__ = [
    "FILE",
    "FOLDER",
    "default",
    "is_address",
    "is_own",
    "make_own",
    "nearest",
    "of_team",
]

FILE, FOLDER = "store.json", ".whatworks"
ADDRESSES = ("postgresql://", "postgres://")
_ID = r"[0-9a-f-]{8,64}"


def nearest(cwd: str | os.PathLike[str] | None = None) -> Path | None:
    """The nearest ``.whatworks`` with a store in a folder or above it, whoever made it."""
    here = Path(cwd or os.getcwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / FOLDER / FILE).is_file():
            return folder / FOLDER
    return None


def default() -> Path:
    """The store in the user's data folder."""
    return _data() / "default"


def is_address(named: object) -> bool:
    """Whether a store is named by its team's database instead of a path."""
    return isinstance(named, str) and named.startswith(ADDRESSES)


def of_team(address: str) -> Path:
    """The store, in the user's data folder, of the team whose database has this address.

    What the address says of TLS makes no other team of it; each namespace is one.

    Raises
    ------
    ValueError
        It cannot be read.
    """
    import json
    from hashlib import sha256  # most processes name no address
    from urllib.parse import parse_qs, parse_qsl, urlsplit

    parts = urlsplit(address)
    user, _, hosts = parts.netloc.rpartition("@")
    query = parse_qs(parts.query)
    said = [query.get(name, [""])[-1] for name in ("host", "port", "dbname", "user")]
    hosts = re.sub(r":5432\b", "", hosts.lower())
    # Also an empty one, and two: no team has such a place, least of all the one without a namespace.
    spaces = [v for key, v in parse_qsl(parts.query, keep_blank_values=True) if key == "namespace"]
    others = [[name, *query[name]] for name in ("database", "service") if name in query]
    told = json.dumps([user.partition(":")[0], hosts, parts.path.strip("/"), *said, *spaces, *others])
    shown = "-".join([hosts, parts.path.strip("/"), *spaces])
    name = re.sub(r"[^\w-]+", "-", shown).strip("-")[:40]
    return _data() / "teams" / f"{name}-{sha256(told.encode()).hexdigest()[:12]}"


def is_own(store: Path) -> bool:
    """Whether a store was made here by this user, or was said to be trusted, and is where it was.

    And as it was: its identity alone may be known to whoever has seen a copy.
    """
    note = _note(store)
    with suppress(OSError):
        return note is not None and note.read_text() == _told(store)
    return False


def make_own(store: Path) -> None:
    """Note that a store may be found by itself; where that cannot be noted, it has to be named."""
    note = _note(store)
    if note is not None:
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            note.write_text(_told(store))


def _told(store: Path) -> str:
    """The place of a store and what it says of itself, hashed."""
    from hashlib import sha256  # most processes name their store, and need none of this

    place = os.path.realpath(store).encode("utf-8", "surrogateescape")
    return sha256(place + b"\0" + (store / FILE).read_bytes()).hexdigest()


def _note(store: Path) -> Path | None:
    import json

    with suppress(OSError, ValueError):
        held = json.loads((store / FILE).read_bytes())
        name = held.get("store_id") if isinstance(held, dict) else None
        if isinstance(name, str) and re.fullmatch(_ID, name):
            return _data() / "own" / name
    return None


def _data() -> Path:
    home = Path.home()
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return folder / "whatworks"
