"""Rows of an SQLite file by their keys, however many are asked for at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import islice
from typing import Any

__all__ = ["chosen"]

ASKED_AT_ONCE = 500  # values of a statement; older engines take 999


def chosen(con: sqlite3.Connection, query: str, keys: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The rows of ``query``, which ends in ``IN``, for all of these keys."""
    keys, found = iter(keys), list[tuple[Any, ...]]()
    while part := list(islice(keys, ASKED_AT_ONCE)):
        found += con.execute(f"{query} ({','.join('?' * len(part))})", part).fetchall()
    return found
