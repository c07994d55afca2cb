"""Namespaces in one database, and machines in them."""

from __future__ import annotations

from pathlib import Path

from whatworks import Memory
from whatworks.team import membership
from whatworks.team.database import Database
from whatworks.testing import HashEmbedder

__all__ = ["alone_store", "at", "begin", "do"]


def at(url: str, space: str | None, user: str = "whatworks") -> str:
    """The address of a namespace of a database, for one of its users."""
    said = "" if space is None else f"&namespace={space}"
    return url.replace("whatworks@", f"{user}@") + said


def begin(folder: Path, address: str) -> None:
    database = Database(address)
    there = database.has_team()
    database.close()
    if there:
        membership.join(folder, address, name=folder.name, model=HashEmbedder().model_id)
    else:
        Memory.open(folder, embedder=HashEmbedder(), vectors="exact").close()
        membership.init(folder, address, name=folder.name)


def alone_store(folder: Path) -> Path:
    Memory.open(folder, embedder=HashEmbedder(), vectors="exact").close()
    return folder


def do(url: str, *statements: str) -> None:
    database = Database(url)
    try:
        for statement in statements:
            database.do(statement)
    finally:
        database.close()
