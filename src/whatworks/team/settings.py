"""What a store knows of its team, in ``team.json``: where the database is, who this machine is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from whatworks.config import TEAM, replace_file
from whatworks.errors import (
    InvalidInputError,
    NotFoundError,
    SchemaVersionError,
    StoreError,
    disk_error,
)
from whatworks.team import schemas

__all__ = [
    "TEAM",
    "Settings",
    "load",
    "other_tls",
    "require_no_weaker",
    "require_url",
    "save",
    "split_namespace",
    "split_vectors",
]

FORMAT = 1
SCHEMES = ("postgresql", "postgres")
# The driver's own order, and what it does where an address says nothing.
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
UNSAID = "prefer"
# What an address says that is not libpq's.
VECTORS, NAMESPACE = OWN_WORDS = "vectors", "namespace"


@dataclass(frozen=True, slots=True)
class Settings:
    """``team.json``.

    ``token`` is what the database must have of this machine; ``next_token`` what it has if the last
    exchange of it was interrupted. ``fetched`` is the number of the last entry of the team's log that
    is here; ``unsettled`` says that what was fetched forgets something that is not erased here yet.
    ``shipped`` is how many bytes of each segment of this machine the database had when it was last
    heard of: for who asks while it does not answer, and for nothing else.
    """

    url: str
    machine: str
    name: str
    token: str
    next_token: str | None = None
    fetched: int = 0
    unsettled: bool = False
    shipped: Mapping[str, int] = field(default_factory=dict)
    format: int = FORMAT

    def changed(self, **values: Any) -> Settings:
        """A copy with other values."""
        return replace(self, **values)


def load(folder: Path) -> Settings:
    """What the store in ``folder`` knows of its team.

    Raises
    ------
    NotFoundError
        It is in no team.
    SchemaVersionError
        A newer whatworks wrote it.
    StoreError
        The file cannot be read.
    """
    path = folder / TEAM
    try:
        values = orjson.loads(path.read_bytes())
        found = (
            Settings(**values) if isinstance(values, dict) and values.get("format") == FORMAT else None
        )
    except FileNotFoundError as error:
        raise NotFoundError(
            f"the store in {folder} is in no team: whatworks team init or join makes it one of a team"
        ) from error
    except OSError as error:
        raise disk_error(error, f"read {path}") from error
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged: {error}; join the team again in an empty folder"
        ) from error
    if found is None:
        raise SchemaVersionError(f"{path} is of another version: pip install --upgrade whatworks")
    return found


def save(folder: Path, settings: Settings) -> None:
    """Write it: the old one stands until the new one is whole on the disk."""
    try:
        replace_file(folder / TEAM, orjson.dumps(asdict(settings), option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise disk_error(error, f"write {folder / TEAM}") from error


def require_url(url: str) -> str:
    """The address of a database, which names no password: it would lie in a file of the store.

    Raises
    ------
    InvalidInputError
        It is none, or names one; or a namespace that there cannot be.
    """
    try:
        parts = urlsplit(url)
        named = parts.password is not None or "password" in dict(parse_qsl(parts.query))
    except ValueError as error:
        raise InvalidInputError(f"the database's address cannot be read: {error}") from error
    if parts.scheme not in SCHEMES:
        raise InvalidInputError(
            f"the database's address begins with {parts.scheme or 'no scheme'!r}; expected "
            "postgresql://USER@HOST/DATABASE"
        )
    if named:
        raise InvalidInputError(
            "the database's address holds a password, which would be stored: leave it out, and give it "
            f"in $PGPASSWORD, {os.path.join('~', '.pgpass')} or the file that $PGPASSFILE names"
        )
    split_namespace(url)
    if parts.fragment:
        raise InvalidInputError("the database's address has a '#' in it: write %23")
    for key, _ in parse_qsl(parts.query, keep_blank_values=True):
        if key not in OWN_WORDS and (meant := key.strip().lower()) in OWN_WORDS:
            raise InvalidInputError(f"the database's address says {key!r}; expected {meant!r}")
    if VECTORS in dict(parse_qsl(parts.query)):
        raise InvalidInputError(
            "the database's address says where the team shares its vectors: open a store by it, or "
            "leave it out, and say whatworks team vectors"
        )
    return url


def split_vectors(address: str) -> tuple[str, str | None]:
    """An address without what it says of shared vectors, and that: ``?vectors=s3://BUCKET/PREFIX``."""
    try:
        rest, said = _split(address, VECTORS)
    except ValueError:
        return address, None  # and ``require_url`` says why
    return rest, said[-1] if said else None


def split_namespace(address: str) -> tuple[str, str | None]:
    """An address as the driver takes it, and which namespace of its database it means, if any.

    Raises
    ------
    InvalidInputError
        It cannot be read, names two, or one that there cannot be; see ``schemas.named``.
    """
    try:
        rest, said = _split(address, NAMESPACE)
    except ValueError as error:
        raise InvalidInputError(f"the database's address cannot be read: {error}") from error
    if len(said) > 1:
        raise InvalidInputError(
            f"the database's address names {len(said)} namespaces; expected one: each has an address "
            "of its own"
        )
    space = said[0] if said else None
    schemas.named(space)
    return rest, space


def _split(address: str, name: str) -> tuple[str, list[str]]:
    """An address without a word of its query, and what that said."""
    urlsplit(address)  # which raises what cannot be read
    rest, _, query = address.partition("?")
    # Word by word: what libpq reads is not to be written in another way, and here a plus is no space.
    words = [word.partition("=") for word in query.split("&")]
    said = [unquote(value) for key, _, value in words if unquote(key) == name]
    if not said:
        return address, []
    kept = ["".join(word) for word in words if word[0] and unquote(word[0]) != name]
    return f"{rest}?{'&'.join(kept)}" if kept else rest, said


def other_tls(url: str, address: str) -> bool:
    """Whether an address says something of TLS, and something else than ``url``."""
    return bool(_tls(address)) and _tls(address) != _tls(url)


def require_no_weaker(folder: Path, address: str) -> None:
    """Raise if an address asks for less than the one by which the store in ``folder`` goes.

    Raises
    ------
    InvalidInputError
        It does: whoever typed it in passing would take away what protects every later exchange.
    """
    kept = _tls(load(folder).url).get("sslmode", UNSAID)
    given = _tls(address).get("sslmode", UNSAID)
    if given not in MODES or (kept in MODES and MODES.index(given) < MODES.index(kept)):
        raise InvalidInputError(
            f"the address means sslmode={given}, this machine reaches its team by sslmode={kept}: give "
            f"that or a stricter one, leave it out, or change it in {folder / TEAM}"
        )


def _tls(url: str) -> dict[str, str]:
    """What an address says of TLS."""
    said = parse_qsl(urlsplit(url).query)
    return {name: value for name, value in said if name.startswith(("ssl", "gss"))}
