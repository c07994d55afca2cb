"""Embeddings of all that waits for one, and the stores of vectors that are made from them.

evidence -> embeddings -> vectors. The embeddings lie in the evidence; a store
of vectors is a copy of them that can be searched, one for each collection.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whatworks.cache import HotCache
from whatworks.config import Config, Current
from whatworks.embedders import EmbeddingPool
from whatworks.errors import StoreFullError
from whatworks.evidence import Evidence, texts
from whatworks.model import Model
from whatworks.problems import FULL, Problems
from whatworks.vectors import Vectors

if TYPE_CHECKING:
    from whatworks.team.lending import Lending

__all__ = ["COLLECTIONS", "Basis", "Embeddings", "Found"]

# What searches find for a text: distances by meaning, and ids by words, the best first.
Found = tuple[dict[str, float], list[str]]
# What embeddings are made from: which evidence, which making of it, how often something was forgotten.
Basis = tuple[Evidence | None, int, int]

COLLECTIONS = ("patterns", "contexts")
# Texts are embedded in steps of about this long, so that a write waits no longer for its fold.
EMBED_SECONDS = 0.5
EMBED_BATCH = (32, 4_096)
# Texts that a pool of workers is given, and that are kept, at once.
PAGE = 1_024
# How often it is looked whether another machine of a team has embedded what waits.
AWAIT_SECONDS = 1.0
FOUND_CACHED = 512
SCANNED = "vectors are compared one by one, which is slow"


class Embeddings:
    """What is embedded of a store's texts, and how it is searched; open to all threads.

    Parameters
    ----------
    folder
        Where the stores of vectors lie.
    config, model
        Those of the store.
    lending
        Where vectors of the store's team are taken from; ``None`` if it is in no team.
    problems
        Where it is noted what cannot be embedded.
    lock
        Held while a layer is changed.
    evidence
        The evidence, up to everything acknowledged so far.
    basis
        What embeddings are made from now; raises once the store was let go.
    all_folded
        Whether the evidence has everything that this process has acknowledged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: Current,
        model: Model,
        lending: Lending | None,
        problems: Problems,
        lock: threading.RLock,
        evidence: Callable[[], Evidence],
        basis: Callable[[], Basis],
        all_folded: Callable[[], bool],
    ) -> None:
        self.found: HotCache[str, Found] = HotCache(FOUND_CACHED)  # until descriptions change
        self.all_embedded = False  # whether no text waited when last looked, and none came since
        self._embedding = threading.RLock()  # held while a model works; taken before the next
        self._lock = lock
        self._folder = folder
        self._config = config
        self._model = model
        self._lending = lending
        self._problems = problems
        self._evidence = evidence
        self._basis = basis
        self._all_folded = all_folded
        self._opened: dict[str, Vectors] = {}
        self._gone: dict[str, list[str]] = {}  # ids that stores of vectors may still find
        self._batch = EMBED_BATCH[0]
        self._pooled = False  # whether a pool embeds, to which the background leaves all that waits
        self._again_at = inf

    # -- stores of vectors ------------------------------------------------------------------------

    def vectors(self, collection: str) -> Vectors:
        """The vectors of a collection, up to everything acknowledged so far."""
        self._evidence()
        found = self._opened.get(collection)
        if found is not None and self.all_embedded:
            return found
        try:
            self.embed()
        except StoreFullError:  # what has an embedding can be searched
            self._problems.note(FULL)
        return self.open_all()[collection]  # it may have been made anew meanwhile

    def embedded(self, collection: str, ids: list[str]) -> dict[str, NDArray[np.float32]]:
        """The embeddings that are there already, by id: nothing is embedded for this."""
        opened = self._opened.get(collection)
        if opened is not None:
            return opened.get(ids)
        found = texts.of(self._evidence(), collection, self._model.name, ids)
        return dict(zip(*found, strict=True))

    def open_all(self) -> Mapping[str, Vectors]:
        """The vectors of all collections that are embedded already."""
        with self._lock:
            evidence = self._evidence()
            if not self._opened:
                self._opened = {n: self.open_one(evidence, self._config.now, n) for n in COLLECTIONS}
                self.drop_gone(evidence)
            return self._opened

    def open_one(
        self,
        evidence: Evidence,
        made: Config,
        name: str,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Vectors:
        """The vectors of a collection in the generation that a configuration names.

        They are searched by nobody until ``replace``; who opened them closes them.
        """
        return Vectors(
            evidence,
            self._folder / str(made.generation) / name,
            name,
            vectors=made.vectors,
            model=made.embedder,
            dim=self._model.dim,
            progress=progress,
        )

    def replace(self, opened: dict[str, Vectors]) -> None:
        """Search in these from now on; those until now are closed."""
        self.close()
        self._opened = opened

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing is embedded, and no layer changed, by others meanwhile."""
        with self._embedding, self._lock:
            yield

    def take_gone(self, gone: dict[str, list[str]]) -> None:
        """Take over which ids, by collection, have no embedding any more."""
        for collection, ids in gone.items():
            self._gone.setdefault(collection, []).extend(ids)

    def drop_gone(self, evidence: Evidence) -> None:
        """Let the stores of vectors that are open find no more of it, but for what came again since."""
        for name, vectors in self._opened.items():
            if gone := self._gone.get(name):
                there = texts.known(evidence, name, vectors.model, gone)
                vectors.drop([each for each in gone if each not in there])
                del self._gone[name]

    def forget(self) -> None:
        """Answer from nothing that was remembered: the evidence may be another."""
        self.found.clear()
        self.all_embedded = False

    def close(self) -> None:
        """Let go of the stores of vectors; they are opened again when a question needs them."""
        for vectors in self._opened.values():
            vectors.close()
        self._opened = {}
        self.forget()

    # -- embedding --------------------------------------------------------------------------------

    def embed(
        self, progress: Callable[[int], object] | None = None, pool: EmbeddingPool | None = None
    ) -> None:
        """Embed every text that waits, by a pool if there is one; the caller need not hold the lock."""
        if pool is not None:
            self._pooled = True
            try:
                while not all(self._embed_by(pool, name, progress) for name in COLLECTIONS):
                    pass
            finally:
                self._pooled = False
        while count := self.embed_some():
            if progress:
                progress(count)

    def embed_some(self) -> int:
        """Embed a few of the texts that wait; return how many, 0 if none waited."""
        evidence = self._evidence()
        for name in COLLECTIONS:
            if count := self._embed_some(evidence, name):
                return count
        with self._lock:
            # Another thread may have folded new texts since.
            self.all_embedded = self._all_folded() and self.count_waiting() == 0
        return 0

    def count_waiting(self) -> int:
        """How many texts have no embedding yet."""
        evidence, model = self._evidence(), self._model.name
        return sum(texts.count_waiting(evidence, name, model) for name in COLLECTIONS)

    def _embed_some(self, evidence: Evidence, name: str) -> int:
        # Without the lock while the model works: a question may have to fold meanwhile.
        with self._embedding:
            with self._lock:
                before = self._basis()
                batch = texts.waiting(evidence, name, self._model.name, self._batch)
            if not batch:
                return 0
            start = monotonic()
            made = self._made(evidence, name, [text.text for text in batch])
            fitting = len(batch) * EMBED_SECONDS / max(monotonic() - start, 1e-3)
            self._batch = round(min(max(fitting, EMBED_BATCH[0]), EMBED_BATCH[1]))
            with self._lock:
                # Else it was begun anew, or some of the texts may be forgotten.
                if self._basis() == before:
                    self._keep(evidence, name, batch, made)
            return len(batch)

    def _embed_by(
        self, pool: EmbeddingPool, name: str, progress: Callable[[int], object] | None
    ) -> bool:
        """Have the texts of a collection that wait embedded; false if it has to be begun again.

        Pages are kept in order, as they come: who is killed goes on behind the last of them.
        """
        with self._embedding:
            embedder, evidence = self._model.needed(), self._evidence()
            before, model = self._basis(), self._model.name
            sent: deque[list[texts.Text]] = deque()

            def lists() -> Iterator[list[str]]:
                for page in texts.pages(evidence, name, model, PAGE):
                    sent.append(page)
                    yield [text.text for text in page]

            for made in pool.vectors(embedder, lists()):
                page = sent.popleft()
                with self._lock:
                    # Else it was begun anew, or some of the texts may be forgotten.
                    if self._basis() != before:
                        return False
                    self._keep(evidence, name, page, self._model.fitting(made))
                if progress:
                    progress(len(page))
        return True

    def _made(self, evidence: Evidence, name: str, given: list[str]) -> NDArray[np.float32]:
        """The embeddings of texts that wait; where many do, those that the team has are taken."""
        model, dim = self._model.name, self._config.now.dim
        if self._lending is None or dim is None:
            return self._model.vectors(given)

        def waiting(limit: int) -> list[str]:
            return [text.text for text in texts.waiting(evidence, name, model, limit)]

        taken = self._lending.take(given, waiting, model=model, dim=dim)
        if missing := [text for text in given if text not in taken]:
            taken |= dict(zip(missing, self._model.vectors(missing), strict=True))
        return np.stack([taken[text] for text in given])

    def _keep(
        self, evidence: Evidence, name: str, batch: list[texts.Text], made: NDArray[np.float32]
    ) -> None:
        reached = batch[-1].change
        batch, made = self._directed(batch, made)
        kept = texts.add_embeddings(evidence, name, self._model.name, batch, made, reached)
        if name in self._opened and batch:
            self._opened[name].add([text.id for text in batch], kept)
            self._opened[name].project()

    def _directed(
        self, batch: list[texts.Text], made: NDArray[np.float32]
    ) -> tuple[list[texts.Text], NDArray[np.float32]]:
        """Leave out texts that the model gives no direction; they are still found by their words."""
        rows = [row for row, vector in enumerate(made) if vector.any()]
        for row in set(range(len(batch))) - set(rows):
            self._problems.note(f"the embedder {self._model.name} has no vector for {batch[row].id!r}")
        return [batch[row] for row in rows], made[rows]

    # -- questions --------------------------------------------------------------------------------

    def expect_text(self) -> None:
        """A question by text comes: load the model beside what else has to be opened for it first."""
        from whatworks.embedders.minilm import MiniLM

        if isinstance(self._model.embedder, MiniLM) and not self._opened:
            # Where no thread can be started it is loaded when it is needed.
            with suppress(RuntimeError):
                threading.Thread(target=_quietly, args=[self._model.embedder.load]).start()

    def describe(self) -> dict[str, Any]:
        """Engine, and for each collection how many vectors there are and how many wait."""
        evidence, model = self._evidence(), self._model.name
        described: dict[str, Any] = {"engine": self._config.now.vectors}
        for name in COLLECTIONS:
            opened = self._opened.get(name)
            made, waiting = texts.counts(evidence, name, model)
            described[name] = {
                "vectors": made,
                "waiting": waiting,
                "in_memory": opened.in_memory if opened else 0,
            }
        if self._lending is not None and (shared := self._lending.described()) is not None:
            described["shared"] = shared
        return described

    def troubles(self) -> list[str]:
        """What is wrong at the moment with stores of vectors that are open."""
        return [
            f"{SCANNED}: the store of the {name} fails: {opened.trouble}"
            for name, opened in self._opened.items()
            if opened.trouble
        ]

    # -- upkeep -----------------------------------------------------------------------------------

    def flush(
        self, progress: Callable[[int], object] | None = None, pool: EmbeddingPool | None = None
    ) -> None:
        """Embed what waits, and bring the stores of vectors up to date and onto the disk."""
        if self._model.embedder is None:
            return
        self.embed(progress, pool)
        with self._lock:
            for vectors in self.open_all().values():
                vectors.project(force=True)
        for vectors in self._opened.values():
            vectors.maintain()

    @property
    def due(self) -> bool:
        """Whether it is time to look again if another machine of the team has embedded what waits."""
        return monotonic() >= self._again_at

    def tend(self) -> None:
        """Embed what waits while nobody asks for it, unless a pool or another machine is at it."""
        self._again_at = inf
        if self._model.embedder is None:
            return
        if self._lending is not None and self._lending.awaits(self.count_waiting()):
            self._again_at = monotonic() + AWAIT_SECONDS
            return
        while not self._pooled and self.embed_some():
            pass
        for vectors in list(self._opened.values()):
            vectors.maintain()


def _quietly(work: Callable[[], object]) -> None:
    with suppress(Exception):  # who needs it does it again, and is told
        work()
