"""Lending: a keeper takes vectors that its team has made already, and puts there those that it made.

A vector is that of its text, whoever made it, so what is taken is what would have been made here. What
is not there, or cannot be reached, is made here: the shelf saves work, and no answer hangs on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whatworks import failpoints
from whatworks.errors import WhatWorksError
from whatworks.evidence import texts
from whatworks.team import settings, shared, shelves
from whatworks.team.shared import Put
from whatworks.team.shelves import Shelf, key, open_shelf

if TYPE_CHECKING:
    from whatworks.evidence import Evidence
    from whatworks.keeper import Keeper

__all__ = ["Lending"]

# Fewer texts are embedded in less time than it takes to ask for them.
FEW = 256
# A step of embedding with fewer texts has all that wait.
BATCH = 32
# How many texts are asked for at once: their vectors take 25 MB until they are kept.
AHEAD = 16_384
# How many vectors are put there at once, which must take far less than the lease lasts.
PART = 8_192
PAGE = 4_096
# How long texts wait for a machine that is at them and does not come further, and how long what was
# heard of it is believed.
AWAIT_SECONDS, HEARD_SECONDS = 30.0, 60.0
# How long they wait at most, however much it comes further.
MOST_SECONDS = 600.0
# How long a shelf that could not be read is left alone.
RETRY_SECONDS = 60.0
# How far from 1 the length of a vector may be.
ROUNDED = 1e-3


@dataclass(slots=True)
class _Progress:
    """How far a place has been filled from this evidence.

    ``known`` are keys that were there before, as long as it is gone through from the beginning.
    """

    of: tuple[object, ...]
    known: set[str]
    marks: dict[str, int] = field(default_factory=dict)


class Lending:
    """What the keeper of a store has to do with its team's shelf of vectors; open to all threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taking, self._putting = threading.Lock(), threading.Lock()
        self._ahead = dict[str, NDArray[np.float32]]()
        self._left = 0  # of the texts that were asked for, so many were not embedded yet
        self._again_at = 0.0
        self._until: int | None = None  # the entry of the log whose vectors are waited for
        self._awaited_from = 0.0
        self._came: tuple[object, float] = None, 0.0  # how far it was heard to be, and since when
        self._progress: _Progress | None = None
        self.taken = 0  # how many vectors were taken instead of made
        self.trouble: str | None = None  # why nothing is taken, while that is so

    def awaits(self, waiting: int) -> bool:
        """Whether another machine is at the vectors of so many texts: none need be made here yet.

        Whoever asks a question does not wait for it.
        """
        found = shared.heard(self._folder) if waiting >= FEW and self.trouble is None else None
        own = settings.load(self._folder) if found is not None else None
        if found is None or own is None or found.machine in (None, own.name):
            self._until = None
            return False
        if self._until is None:  # what comes from now on would have to be waited for without end
            self._until, self._awaited_from = own.fetched, monotonic()
            self._came = None, 0.0
        late = (datetime.now(UTC) - found.heard_at).total_seconds()
        # By the clock here: what the database says of its own may be anything.
        if self._came[0] != (state := (found.place, found.version, found.entry)):
            self._came = state, monotonic()
        stands = monotonic() - self._came[1] > AWAIT_SECONDS
        ends = monotonic() - self._awaited_from > MOST_SECONDS
        if found.entry >= self._until or late > HEARD_SECONDS or stands or ends:
            self._until = None
            return False
        return True

    # -- taking -----------------------------------------------------------------------------------

    def take(
        self, given: Sequence[str], waiting: Callable[[int], Sequence[str]], *, model: str, dim: int
    ) -> dict[str, NDArray[np.float32]]:
        """The vectors that the team has of some texts, by text; none where few texts wait.

        Parameters
        ----------
        waiting
            The next texts that wait for an embedding, at most so many, ``given`` among them.
        """
        with self._taking:
            if self._left <= 0 and len(given) >= BATCH:
                self._look_ahead(waiting, model, dim)
            self._left -= len(given)
            found = {}
            for text in given if self._ahead else ():
                if (vector := self._ahead.get(key(model, text))) is not None:
                    found[text] = vector
            self.taken += len(found)
            if self._left <= 0:
                self._ahead = {}
            return found

    def _look_ahead(self, waiting: Callable[[int], Sequence[str]], model: str, dim: int) -> None:
        self._ahead, self._left = {}, 0
        if monotonic() < self._again_at:
            return
        named = shared.heard(self._folder)
        if named is None or named.place is None or len(wanted := waiting(AHEAD)) < FEW:
            return
        self._left = len(wanted)
        if shelves.has_key(named.url) and shared.told(self._folder) != named.url:
            # The key of the cluster would go wherever the database says.
            self.trouble = f"this machine was not told of {named.url}: whatworks team vectors says it"
            self._again_at = monotonic() + RETRY_SECONDS
            return
        try:
            shelf = open_shelf(named.url, named.place, dim=dim, version=named.version)
            try:
                for names, vectors in shelf.get({key(model, text) for text in wanted}):
                    # Whoever can write there could leave anything.
                    sound = np.abs(np.linalg.norm(vectors, axis=1) - 1) < ROUNDED
                    self._ahead |= {names[row]: vectors[row] for row in np.flatnonzero(sound)}
            finally:
                shelf.close()
            self.trouble = None
        except WhatWorksError as error:
            self.trouble = str(error)
            self._again_at = monotonic() + RETRY_SECONDS

    def described(self) -> dict[str, Any] | None:
        """Where vectors are shared and how late they are, and how many were taken from there.

        ``trouble`` says why none can be taken at the moment. ``None`` if the team shares none.
        """
        found = shared.heard(self._folder)
        if found is None:
            return None
        told = {"url": found.url, "vectors": found.vectors, "entry": found.entry}
        late = {"behind": found.behind, "behind_seconds": found.behind_seconds}
        here = {"heard_at": found.heard_at.isoformat(), "taken": self.taken, "trouble": self.trouble}
        return told | late | here

    # -- putting ----------------------------------------------------------------------------------

    def put(self, keeper: Keeper, url: str, place: str) -> Put:
        """Put vectors that are not in ``place`` there, a part of them; erase there what is gone.

        Raises
        ------
        StoreError
            The shelf or the evidence cannot be read or written.
        """
        with self._putting:
            evidence, config = keeper.evidence(receipts=True), keeper.config.now
            waits = keeper.embeddings.count_waiting()
            if config.dim is None:  # nothing was ever embedded
                return Put(0, 0, 0, more=False, done=not waits)
            before = (place, config.embedder, evidence.build, keeper.holds)
            shelf = open_shelf(url, place, dim=config.dim)
            progress, self._progress = self._progress, None  # after an error it is compared again
            try:
                erased = 0
                if progress is None or progress.of != before:
                    progress, erased = _compared(shelf, evidence, config.embedder, before)
                more = _add(shelf, evidence, config.embedder, progress)
                if not more:
                    progress.known = set()
                self._progress = progress
                same = before == (place, keeper.config.now.embedder, evidence.build, keeper.holds)
                done = same and not more and not waits
                return Put(shelf.version, shelf.count(), erased, more, done)
            finally:
                shelf.close()


def _compared(
    shelf: Shelf, evidence: Evidence, model: str, of: tuple[object, ...]
) -> tuple[_Progress, int]:
    """Erase what no text has any more; what is there need not be put there again."""
    known = {name for page in shelf.held() for name in page}
    if not known:
        return _Progress(of, known), 0
    # Also of texts that have no embedding here, such as in tables that were just made anew.
    wanted = {
        key(model, text)
        for collection in texts.TABLES
        for text in texts.all_texts(evidence, collection)
    }
    gone = known - wanted
    shelf.erase(gone)
    failpoints.reached("shelf.erased")
    return _Progress(of, known - gone), len(gone)


def _add(shelf: Shelf, evidence: Evidence, model: str, progress: _Progress) -> bool:
    """Put a part there; whether there is more."""
    added = 0
    for collection in texts.TABLES:
        after = progress.marks.get(collection, -1)
        for names, vectors, change in _pages(evidence, collection, model, after):
            rows = [
                row
                for name, row in {name: row for row, name in enumerate(names)}.items()
                if name and name not in progress.known
            ]
            if rows:
                shelf.add([names[row] for row in rows], vectors[rows])
                failpoints.reached("shelf.added")
            progress.marks[collection] = change
            added += len(rows)
            if added >= PART:
                return True
    return False


def _pages(
    evidence: Evidence, collection: str, model: str, after: int
) -> Iterator[tuple[list[str], NDArray[np.float32], int]]:
    """Embeddings in the order of their texts: keys, "" for one whose text has changed; vectors."""
    for ids, vectors, change in texts.vectors(evidence, collection, model, after, PAGE):
        told = texts.texts_of(evidence, collection, model, ids)
        yield [key(model, told[name]) if name in told else "" for name in ids], vectors, change
