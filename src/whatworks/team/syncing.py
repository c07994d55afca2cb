"""Exchanging for a store from a process of its own, whichever process keeps the store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from whatworks import config
from whatworks.desk import Desk
from whatworks.errors import InvalidInputError, StoreError, WhatWorksError
from whatworks.link import Link
from whatworks.team import following, settings
from whatworks.team.exchange import Exchange, exchanging
from whatworks.team.records import TeamSync
from whatworks.team.shared import Put

__all__ = ["follow", "sync"]


def sync(folder: Path) -> TeamSync:
    """Exchange once; afterwards questions to the store in ``folder`` are answered with all that came.

    Raises
    ------
    NotFoundError
        There is no store, or it is in no team.
    StoreBusyError
        Another process exchanges for it already, every second.
    UnreachableError, CopiedStoreError, StoreError
        See ``Exchange.once``.
    """
    with _exchange(folder) as (exchange, link):
        done = exchange.once()
        if done.fetched:
            link.ask(Desk.put_in_order)
        problem = done.problem
        while exchange.has_more:
            problem = exchange.once().problem
        return replace(done, problem=problem)


def follow(
    folder: Path,
    stop: threading.Event,
    *,
    every: float = following.EVERY_SECONDS,
    done: Callable[[TeamSync], object] = lambda _: None,
    failed: Callable[[WhatWorksError], object] = lambda _: None,
) -> None:
    """Exchange every so many seconds until ``stop`` is set; see ``sync`` and ``following.follow``."""
    if not 0.01 <= every <= 3_600:
        raise InvalidInputError(f"every is {every}; expected 0.01 to 3600 seconds")
    with _exchange(folder) as (exchange, _):
        following.follow(exchange, stop, every=every, done=done, failed=failed)


@contextmanager
def _exchange(folder: Path) -> Iterator[tuple[Exchange, Link]]:
    settings.load(folder)
    if config.load(folder).machine is None:
        raise StoreError(f"{folder} has not entered its team: run whatworks team init again")
    with exchanging(folder):
        link = Link.shared(folder, embedder=None, vectors=None, durability="durable", create=False)
        try:
            exchange = Exchange(
                folder,
                lambda: link.ask(Desk.put_in_order),
                lambda url, place: Put(*link.ask(Desk.put_vectors, url, place)),
            )
            try:
                yield exchange, link
            finally:
                exchange.close()
        finally:
            link.release()
