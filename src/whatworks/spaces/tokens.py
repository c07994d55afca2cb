"""Who may use which namespaces: a file of tokens, of which it holds the hashes alone.

A token is 256 random bits, so that a plain hash of it cannot be turned back, and slow ones would
only make requests slow. The file lies in the root beside the namespaces, for its owner only.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from whatworks.checks import shown
from whatworks.config import replace_file
from whatworks.errors import (
    InvalidInputError,
    NotFoundError,
    SchemaVersionError,
    StoreError,
    WhatWorksError,
    disk_error,
)
from whatworks.lock import locked
from whatworks.spaces import names

__all__ = ["FILE", "MOST", "PREFIX", "Keys", "Token", "add", "listed", "remove"]

FILE, LOCK = "tokens.json", "tokens.lock"
FORMAT = 1
# By which people, and scanners for secrets, know a token of ours.
PREFIX = "ww_"
RANDOM_BYTES = 32
# Each request is compared with all of them: a thousand take half a millisecond.
MOST = 1_000
# A file of so many tokens with long lists of namespaces has less.
MOST_BYTES = 8 << 20
MOST_NAMESPACES = 100
# Through no link, and without waiting for who writes to a pipe.
_CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

log = logging.getLogger("whatworks")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Token:
    """What a token opens.

    ``namespaces`` are all that it opens, at least one; ``writes`` whether tries may be recorded
    there; ``source`` is kept with each of them, and is one source whatever clients call themselves.
    From ``expires_at`` on it opens nothing; ``None`` is never.
    """

    name: str
    namespaces: tuple[str, ...]
    writes: bool
    source: str
    made_at: datetime
    expires_at: datetime | None

    def is_valid(self, at: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or at < self.expires_at


@dataclass(frozen=True, slots=True)
class _Kept:
    token: Token
    sha256: str


class Keys:
    """Finds the token that a client sends; follows the file, so that what is removed opens nothing.

    The file is looked at with every request, which costs some microseconds. Where it cannot be
    read, nobody is let in, and the log says why.
    """

    def __init__(self, root: Path, *, clock: Callable[[], datetime] = _now) -> None:
        self._path = root / FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._kept: list[_Kept] = []
        self._problem = ""

    def find(self, given: str) -> Token | None:
        """The token that ``given`` is, ``None`` if it is none or has expired."""
        digest, found = _hashed(given), None
        for one in self._current():
            if hmac.compare_digest(digest, one.sha256):  # all of them, so that time tells nothing
                found = one.token
        return found if found is not None and found.is_valid(self._clock()) else None

    def _current(self) -> list[_Kept]:
        with self._lock:
            seen = _look(self._path)
            if seen != self._seen:
                self._kept = self._read()
                # What cannot be read is tried again: the next time there may be a file handle free.
                self._seen = None if self._problem else seen
            return self._kept

    def _read(self) -> list[_Kept]:
        """What the file holds, nothing if it cannot be read; the log says each reason once."""
        try:
            found, problem = _load(self._path), ""
        except WhatWorksError as error:
            found, problem = [], str(error)
        if problem and problem != self._problem:
            log.warning("nobody is let in: %s", problem)
        self._problem = problem
        return found


def listed(root: Path) -> list[Token]:
    """The tokens of a root, by name.

    Raises
    ------
    StoreError
        Others may read the file, or it is damaged.
    """
    return sorted((one.token for one in _load(root / FILE)), key=lambda token: token.name)


def add(
    root: Path,
    name: str,
    namespaces: Sequence[str],
    *,
    writes: bool = True,
    source: str | None = None,
    days: float | None = None,
    clock: Callable[[], datetime] = _now,
) -> tuple[Token, str]:
    """Make a token, and return it with its secret, which nothing else knows from then on.

    Parameters
    ----------
    root
        Made if missing, private to its owner.
    name
        What to call it; must be new.
    namespaces
        What it opens, 1 to 100 names.
    source
        Kept with every try that it brings; by default ``name``.
    days
        For how long it is valid; more than 0.

    Raises
    ------
    InvalidInputError
        A name is none or taken, or a number is out of range.
    StoreError
        Others may read or write the root or its file.
    """
    at = clock()
    token = Token(
        names.checked(name, "the token's name"),
        _namespaces(namespaces),
        bool(writes),
        names.checked(name if source is None else source, "the source"),
        at,
        None if days is None else _expiry(at, days),
    )
    for namespace in token.namespaces:
        names.folder(root, namespace)
    names.make_root(root)
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    with _changing(root) as kept:
        if any(one.token.name == token.name for one in kept):
            raise InvalidInputError(
                f"there is a token {shown(name)} already: whatworks token remove {name} takes it away"
            )
        if len(kept) >= MOST:
            raise InvalidInputError(f"there are {MOST:,} tokens already, as many as there may be")
        kept.append(_Kept(token, _hashed(secret)))
    return token, secret


def remove(root: Path, name: str) -> Token:
    """Take a token away, and return what it was; from now on it opens nothing, also in running servers.

    Raises
    ------
    NotFoundError
        There is no token of that name.
    """
    names.require_root(root)
    with _changing(root) as kept:
        for place, one in enumerate(kept):
            if one.token.name == name:
                del kept[place]
                return one.token
        raise NotFoundError(
            f"there is no token {shown(name)}: whatworks token list shows those there are"
        )


def _namespaces(given: Sequence[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(names.checked(name) for name in given))
    if not 1 <= len(found) <= MOST_NAMESPACES:
        raise InvalidInputError(
            f"the token opens {len(found)} namespaces; expected 1 to {MOST_NAMESPACES}, each "
            "with --namespace"
        )
    return found


def _expiry(at: datetime, days: float) -> datetime:
    try:
        if days > 0:
            return at + timedelta(days=days)
    except (OverflowError, ValueError, TypeError):
        pass
    raise InvalidInputError(
        f"days is {shown(days)}; expected a number above 0, for how long it is valid"
    )


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


# -- the file -------------------------------------------------------------------------------------


@contextmanager
def _changing(root: Path) -> Iterator[list[_Kept]]:
    """The tokens to change, written back at the end, one process at a time.

    Else one that was just removed could come back with what another process read before.
    """
    with locked(root / LOCK, f"lock the tokens of {root}"):
        kept = _load(root / FILE)
        yield kept
        try:
            replace_file(root / FILE, _written(kept))
        except OSError as error:
            raise disk_error(error, f"write {root / FILE}") from error


def _look(path: Path) -> tuple[int, ...] | None:
    """What changes when the file does: it is only ever replaced."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid


def _load(path: Path) -> list[_Kept]:
    """What the file holds; nothing where there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | _CAREFULLY)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise disk_error(error, f"read {path}") from error
    try:
        _require_private(path, os.fstat(file))
        with open(file, "rb", closefd=False) as stream:
            body = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise disk_error(error, f"read {path}") from error
    finally:
        os.close(file)
    try:
        if len(body) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        values = orjson.loads(body)
        if values["format"] > FORMAT:
            raise SchemaVersionError(
                f"{path} has format {values['format']}, this whatworks knows {FORMAT}: "
                "pip install --upgrade whatworks"
            )
        return [_read(item) for item in values["tokens"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{path} is damaged ({error}); remove it, and add the tokens anew") from error


def _require_private(path: Path, found: os.stat_result) -> None:
    if os.name != "posix":
        return
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path} is no file; remove it, and add the tokens anew")
    if os.geteuid() not in (found.st_uid, 0):
        raise StoreError(f"{path} belongs to another user; give a root of your own")
    if found.st_mode & 0o077:
        raise StoreError(
            f"other users may read {path} (mode {found.st_mode & 0o777:o}): chmod 600 {path}, and look "
            "whether all tokens in it are yours"
        )


def _written(kept: Sequence[_Kept]) -> bytes:
    items = [
        {
            "name": one.token.name,
            "sha256": one.sha256,
            "namespaces": one.token.namespaces,
            "writes": one.token.writes,
            "source": one.token.source,
            "made_at": one.token.made_at,
            "expires_at": one.token.expires_at,
        }
        for one in kept
    ]
    body = {"format": FORMAT, "tokens": items}
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def _read(item: Any) -> _Kept:
    """One token of the file, checked like one that is made: its names become paths."""
    digest = item["sha256"]
    if (
        not isinstance(digest, str)
        or len(digest) != hashlib.sha256().digest_size * 2
        or not digest.isascii()
    ):
        raise ValueError("a hash is none")
    if not isinstance(item["writes"], bool):
        raise ValueError("a token does not say whether it may write")
    made, expires = (_moment(item[name]) for name in ("made_at", "expires_at"))
    if made is None:
        raise ValueError("a token does not say since when it is")
    token = Token(
        names.checked(item["name"], "a token's name"),
        _namespaces(item["namespaces"]),
        item["writes"],
        names.checked(item["source"], "a source"),
        made,
        expires,
    )
    return _Kept(token, digest)


def _moment(value: str | None) -> datetime | None:
    found = None if value is None else datetime.fromisoformat(value)
    if found is not None and found.tzinfo is None:
        raise ValueError("a time has no zone")
    return found
