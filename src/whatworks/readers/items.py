"""What a reader hands over: items of its own format, and these, which all have."""

from __future__ import annotations

import os

import msgspec

__all__ = ["Fault", "Item", "Link", "Read", "RefusedError", "printable"]


class Item(msgspec.Struct, frozen=True, tag=True):
    """Base of all items; the name of the class goes with it."""


class Fault(Item, frozen=True):
    """Something that cannot be read: in which file, where in it, and why."""

    path: str
    place: str
    reason: str


class Read(Item, frozen=True):
    """So many more things of a kind were read, whatever came of them."""

    kind: str
    count: int = 1


class Link(Item, frozen=True):
    """A link, which is not followed: what it leads to may be read by its own name, or lie elsewhere."""

    path: str


class RefusedError(Exception):
    """An item cannot be read; its reader turns this into a ``Fault``."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


def printable(path: str | os.PathLike[str]) -> str:
    """The path as text that can be printed and sent, whatever bytes its name has."""
    return os.fsencode(path).decode(errors="replace")
