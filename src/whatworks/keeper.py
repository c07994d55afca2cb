"""The keeper: the one owner of a store, which brings every layer up to date.

journal -> evidence -> embeddings -> vectors. Each layer holds how far it has
come, so that whatever was interrupted goes on where it was.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from whatworks import config, journal
from whatworks.cache import HotCache
from whatworks.embedders import Embedder, vectors_of
from whatworks.errors import (
    InvalidInputError,
    ModelMismatchError,
    NotFoundError,
    StoreClosedError,
    StoreError,
    disk_error,
)
from whatworks.evidence import Evidence, questions, texts
from whatworks.evidence.cells import PopulationRow
from whatworks.lock import KeeperLock
from whatworks.rank import Learned
from whatworks.records import ChangePoint, Pattern
from whatworks.stores import engine_class
from whatworks.vectors import Vectors

T = TypeVar("T")

__all__ = ["COLLECTIONS", "Keeper"]

COLLECTIONS = ("patterns", "contexts")
# Texts are embedded in steps of about this long, so that a write waits no longer for its fold.
EMBED_SECONDS = 0.5
EMBED_BATCH = (32, 4_096)
# How long the background work lets writes gather before it folds them.
GATHER_SECONDS = 0.2
PATTERNS_CACHED = 10_000
QUERIES_CACHED = 512
STOPPED = "background work stopped"

_sharing = threading.RLock()  # a handle may be collected while another is opened
_keepers: dict[str, Keeper] = {}


class Recent:
    """What was written since the last fold, or seen since, by all handles of the store.

    A write needs no fold to know whether a pattern or an event exists.
    """

    def __init__(self) -> None:
        self.patterns: set[str] = set()
        self.events: dict[str, dict[str, Any]] = {}
        self.resolving = threading.Lock()  # outcomes are compared and written one at a time


class Keeper:
    """Owns a store's files from construction to ``close``; its methods are open to all threads.

    Parameters
    ----------
    folder
        The store. Made if missing and ``create`` says so.
    embedder
        What turns texts into vectors; ``None`` where none is at hand, which
        leaves open all that needs no vectors.
    vectors
        Engine of a new store; for an old one it must agree or be ``None``.
    durability
        What acknowledges a write; see ``journal``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        embedder: Embedder | None,
        vectors: str | None,
        durability: journal.Durability,
        create: bool,
    ) -> None:
        if vectors is not None:
            engine_class(vectors)  # before anything is made
        if create:
            _make(folder)
        elif not folder.is_dir():
            raise NotFoundError(f"there is no store in {folder}: create one with whatworks init")
        self.folder = folder
        self._lock = threading.RLock()  # held while a layer is changed
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._pid = os.getpid()
        self._users = 0
        self._evidence: Evidence | None = None
        self._vectors: dict[str, Vectors] = {}
        self._written = 0  # appends that change answers: receipts do not
        self._counting = threading.Lock()
        self._folded = 0
        self._all_embedded = False
        self._embed_batch = EMBED_BATCH[0]
        self.embedder = embedder
        self.durability = durability
        self.problems: list[str] = []
        self.patterns: HotCache[Pattern] = HotCache(PATTERNS_CACHED)
        self.sums: HotCache[PopulationRow] = HotCache(1)
        self.learned: HotCache[tuple[int, Learned]] = HotCache(1)  # by embedding model
        self.changes: HotCache[ChangePoint | None] = HotCache(PATTERNS_CACHED)  # by pattern number
        self.queries: HotCache[NDArray[np.float32]] = HotCache(QUERIES_CACHED)
        self.recent = Recent()
        if create:
            config.require_free(folder)
        self._keeper_lock = KeeperLock(folder)
        try:
            self.config = self._configure(vectors, create)
            if not self._journal_folder.is_dir():
                raise StoreError(f"{self._journal_folder} is missing: restore it from a backup")
            self.journal = journal.Journal(self._journal_folder, self.config.store_id, durability)
        except BaseException:
            self._keeper_lock.release()
            raise

    def _configure(self, vectors: str | None, create: bool) -> config.Config:
        try:
            found = config.load(self.folder)
        except NotFoundError:
            if not create:
                raise
            model = self.embedder.model_id if self.embedder else "none"
            dim = getattr(self.embedder, "dim", None)
            return config.create(self.folder, embedder=model, dim=dim, vectors=vectors or "lance")
        if self.embedder is not None and found.embedder == "none":
            found = found.changed(embedder=self.embedder.model_id)
            config.save(self.folder, found)
        self.config = found
        self._agree(self.embedder, vectors)
        return found

    def _agree(self, embedder: Embedder | None, vectors: str | None) -> None:
        """Raise if the store was made with another embedder or engine than is asked for."""
        if embedder is not None and embedder.model_id != self.config.embedder:
            raise ModelMismatchError(
                f"the store in {self.folder} has embeddings of {self.config.embedder!r}, the embedder "
                f"given is {embedder.model_id!r}: open it with the former, or change it with "
                "whatworks reembed"
            )
        if vectors is not None and vectors != self.config.vectors:
            raise StoreError(
                f"the store in {self.folder} keeps its vectors in {self.config.vectors!r}, not in "
                f"{vectors!r}; open it without vectors=, or make a new store and import an export"
            )

    @classmethod
    def shared(
        cls,
        folder: Path,
        *,
        embedder: Embedder | None,
        vectors: str | None,
        durability: journal.Durability,
        create: bool,
    ) -> Keeper:
        """The one keeper of ``folder`` in this process; give it back with ``release``."""
        key = os.path.realpath(folder)
        with _sharing:
            keeper = _keepers.get(key)
            if keeper is None or keeper._pid != os.getpid():
                keeper = cls(
                    folder,
                    embedder=embedder,
                    vectors=vectors,
                    durability=durability,
                    create=create,
                )
                _keepers[key] = keeper
            else:
                keeper._agree(embedder, vectors)
                if keeper.durability != durability:
                    raise StoreError(
                        f"the store in {folder} is open in this process with durability "
                        f"{keeper.durability!r}, not {durability!r}; open both alike"
                    )
                keeper.embedder = keeper.embedder or embedder
            keeper._users += 1
            return keeper

    def release(self) -> None:
        """Give the keeper back; the last one closes it."""
        with _sharing:
            self._users -= 1
            last = self._users == 0
            if last:
                _keepers.pop(os.path.realpath(self.folder), None)
        if last:
            self.close()

    @property
    def _journal_folder(self) -> Path:
        return self.folder / "journal"

    def check(self) -> None:
        """Raise unless this process may use the store."""
        if os.getpid() != self._pid:
            raise StoreClosedError(
                "this memory belongs to the parent process; open it again after fork"
            )
        if self._stop.is_set():
            raise StoreClosedError("this memory is closed; open it again")

    # -- writing ----------------------------------------------------------------------------------

    def append(self, kind: str, bodies: Sequence[dict[str, Any]]) -> None:
        """Acknowledge records: on return they are safe in the journal."""
        self.check()
        self._journal().append(kind, bodies)
        with self._counting:
            self._written += 1
        self._start_worker()
        self._wake.set()

    def note_down(self, kind: str, body: dict[str, Any]) -> None:
        """Write down what was answered or learned; a power cut may lose the last of it."""
        self.check()
        try:
            self._journal().append(kind, [body], sync=False)
        except StoreClosedError:
            raise
        except StoreError as error:  # the answer is worth more than its receipt
            self._note(f"predictions are not kept: {error}")

    def _journal(self) -> journal.Journal:
        # A segment may only be resumed once it has been read to its end.
        if self._evidence is None:
            self.evidence()
        return self.journal

    # -- layers -----------------------------------------------------------------------------------

    def evidence(self, *, receipts: bool = False) -> Evidence:
        """The evidence, up to everything acknowledged so far; ``receipts`` if these as well."""
        self.check()
        found = self._evidence
        if found is None or found.lost or self._folded != self._written or receipts:
            with self._lock:
                return self._fold()
        return found

    def folded(self) -> Evidence:
        """The evidence as of the last fold; cheaper where that is enough."""
        found = self._evidence
        return self.evidence() if found is None or found.lost else found

    def ask_folded(self, question: Callable[[Evidence], T]) -> T:
        """Ask the evidence as of the last fold, again if it is rebuilt meanwhile."""
        while True:
            evidence = self.folded()
            try:
                return question(evidence)
            except StoreError:
                if evidence is self._evidence and not evidence.lost:
                    raise

    def _fold(self) -> Evidence:
        self.check()
        if self._evidence is None:
            self._evidence = self._open_evidence()
            return self._evidence
        build = self._evidence.build
        written = self._written  # before the fold: what is written meanwhile is for the next one
        segments = journal.segments(self._journal_folder)  # before settling: see Evidence.fold
        try:
            touched = self._evidence.fold(segments, self.journal.settle())
        except BaseException:  # some batches may be in
            self.patterns.clear()
            self.changes.clear()
            self.sums.clear()
            self._all_embedded = False
            raise
        if touched:
            self.patterns.invalidate(touched)
            self.changes.invalidate(questions.numbers(self._evidence, touched))
            self.sums.clear()
            self._all_embedded = False
        if self._evidence.build != build:  # it was lost, and begun anew
            self._close_vectors()
            self._note_rebuilt(self._evidence)
        self._folded = written
        return self._evidence

    def _open_evidence(self) -> Evidence:
        evidence = Evidence(self.folder / "evidence.duckdb")
        try:
            segments = journal.segments(self._journal_folder)
            evidence.fold(segments, self.journal.settle())
        except BaseException:
            evidence.close()
            raise
        self._note_rebuilt(evidence)
        if evidence.damaged:
            self._note(f"{evidence.damaged} damaged journal records were left out")
        self._resume(evidence)
        return evidence

    def _note_rebuilt(self, evidence: Evidence) -> None:
        if evidence.moved_aside:
            self._note(
                f"the evidence could not be read; rebuilt from the journal, the old file is "
                f"{evidence.moved_aside.name}"
            )

    def _resume(self, evidence: Evidence) -> None:
        """Go on in the last segment, if it is whole: many short runs share a file."""
        found = journal.segments(self._journal_folder)
        if self._written or not found:
            return
        position, sequence = evidence.mark(found[-1].name)
        if position == found[-1].size and sequence > 0:
            self.journal.resume(found[-1], sequence)

    def vectors(self, collection: str) -> Vectors:
        """The vectors of a collection, up to everything acknowledged so far."""
        evidence = self.evidence()
        found = self._vectors.get(collection)
        if found is not None and self._all_embedded:
            return found
        with self._lock:
            self._open_vectors(evidence)
            self.embed()
            return self._vectors[collection]

    def _open_vectors(self, evidence: Evidence) -> None:
        if self._vectors:
            return
        dim = self.config.dim or self._embedded(["dimension"]).shape[1]
        folder = self.folder / "vectors" / str(self.config.generation)
        self._vectors = {
            name: Vectors(evidence, folder / name, name, self.config.vectors, self.config.embedder, dim)
            for name in COLLECTIONS
        }

    def embed(self, progress: Callable[[int], object] | None = None) -> None:
        """Embed every text that waits; the caller need not hold the lock."""
        evidence = self.evidence()
        for name in COLLECTIONS:
            while self._embed_some(evidence, name, progress):
                pass
        with self._lock:
            # Another thread may have folded new texts since.
            waiting = any(texts.count_waiting(evidence, n, self.config.embedder) for n in COLLECTIONS)
            self._all_embedded = self._folded == self._written and not waiting

    def _embed_some(
        self, evidence: Evidence, name: str, progress: Callable[[int], object] | None
    ) -> bool:
        with self._lock:
            self.check()
            batch = texts.waiting(evidence, name, self.config.embedder, self._embed_batch)
            if not batch:
                return False
            start = monotonic()
            made = self._embedded([text.text for text in batch])
            fitting = len(batch) * EMBED_SECONDS / max(monotonic() - start, 1e-3)
            self._embed_batch = round(min(max(fitting, EMBED_BATCH[0]), EMBED_BATCH[1]))
            reached = batch[-1].change
            batch, made = self._directed(batch, made)
            texts.add_embeddings(evidence, name, self.config.embedder, batch, made, reached)
            if name in self._vectors and batch:
                self._vectors[name].add([text.id for text in batch], made)
                self._vectors[name].project()
        if progress:
            progress(len(batch))
        return True

    def _directed(
        self, batch: list[texts.Text], made: NDArray[np.float32]
    ) -> tuple[list[texts.Text], NDArray[np.float32]]:
        """Leave out texts that the model gives no direction; they are still found by their words."""
        rows = [row for row, vector in enumerate(made) if vector.any()]
        for row in set(range(len(batch))) - set(rows):
            self._note(f"the embedder {self.config.embedder} has no vector for {batch[row].id!r}")
        return [batch[row] for row in rows], made[rows]

    def _embedded(self, given: list[str]) -> NDArray[np.float32]:
        if self.embedder is None:
            raise ModelMismatchError(
                f"this needs the embedder {self.config.embedder!r}, and the store was opened without "
                "one; pass it as embedder= to Memory.open"
            )
        made = vectors_of(self.embedder, given)
        if self.config.dim is None:
            self.config = self.config.changed(dim=made.shape[1])
            config.save(self.folder, self.config)
        if made.shape[1] != self.config.dim:
            raise ModelMismatchError(
                f"the embedder {self.embedder.model_id!r} makes vectors of {made.shape[1]} dimensions, "
                f"the store has {self.config.dim}: give the other a model_id of its own, and reembed"
            )
        return made

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a question, from the cache if it was asked before."""
        key = f"{self.config.embedder} {text}"
        vector = self.queries.many([key], lambda _: {key: self._embedded([text])[0]})[key]
        if not vector.any():
            raise InvalidInputError(
                f"the embedder {self.config.embedder!r} has no vector for this text; say it differently"
            )
        return vector

    def describe_vectors(self) -> dict[str, Any]:
        """Engine, and for each collection how many vectors there are and how many wait."""
        evidence, model = self.evidence(), self.config.embedder
        described: dict[str, Any] = {"engine": self.config.vectors}
        for name in COLLECTIONS:
            opened = self._vectors.get(name)
            described[name] = {
                "vectors": texts.total(evidence, name, model),
                "waiting": texts.count_waiting(evidence, name, model),
                "in_memory": opened.in_memory if opened else 0,
            }
        return described

    def flush(self, progress: Callable[[int], object] | None = None) -> None:
        """Bring every layer up to date and onto the disk."""
        self.evidence()
        self.journal.sync()
        if self.embedder is None:
            return
        self.embed(progress)
        with self._lock:
            self._open_vectors(self.evidence())
            for vectors in self._vectors.values():
                vectors.project(force=True)
        for vectors in self._vectors.values():
            vectors.maintain()

    def rebuild(self, progress: Callable[[int], object] | None = None) -> None:
        """Throw evidence and vectors away and make them again from the journal."""
        self.check()
        with self._lock:
            self._drop_layers()
            # The write-ahead log first: without its database it would be taken for damage.
            for path in sorted(self.folder.glob("evidence.duckdb*"), reverse=True):
                _remove(path)
            _remove(self.folder / "vectors")
            self.patterns.clear()
            self.changes.clear()
            self.sums.clear()
            self.evidence()
        self.flush(progress)

    def reembed(self, embedder: Embedder, progress: Callable[[int], object] | None = None) -> None:
        """Change the embedder: embed everything anew beside the old, then switch at once.

        Interrupted, the store stays with the old embedder; run again, it
        goes on where it was.
        """
        evidence = self.evidence()
        with self._lock:
            old, before = self.embedder, self.config
            made = vectors_of(embedder, ["dimension"])
            same = embedder.model_id == before.embedder
            if same and before.dim not in (None, made.shape[1]):
                raise InvalidInputError(
                    f"the store has embeddings of {embedder.model_id!r} with {before.dim} dimensions, "
                    f"this one makes {made.shape[1]}; give it another model_id"
                )
            after = before.changed(
                embedder=embedder.model_id, dim=made.shape[1], generation=before.generation + 1
            )
            self._close_vectors()
            self.embedder, self.config = embedder, after
            try:
                self.embed(progress)
                config.save(self.folder, after)
            except BaseException:
                self.embedder, self.config = old, before
                raise
            self.changes.clear()
            texts.drop_other_models(evidence, embedder.model_id)
            _remove(self.folder / "vectors" / str(before.generation))
        self.flush()

    # -- background work --------------------------------------------------------------------------

    def _start_worker(self) -> None:
        if self._worker is None:
            with self._lock:
                if self._worker is None and not self._stop.is_set():
                    self._worker = threading.Thread(
                        target=self._work, name="whatworks-keeper", daemon=True
                    )
                    self._worker.start()

    def _work(self) -> None:
        """Fold, embed and tend the stores while nobody asks, until the store is closed."""
        while self._wake.wait():
            self._wake.clear()
            # The first write starts this wait, the rest of its burst joins it.
            if self._stop.wait(GATHER_SECONDS):
                return
            try:
                self.evidence(receipts=True)
                if self.embedder is not None:
                    self.embed()
                    for vectors in list(self._vectors.values()):
                        vectors.maintain()
                self.problems[:] = [p for p in self.problems if not p.startswith(STOPPED)]
            except Exception as error:  # noqa: BLE001 - shown in stats; the next write tries again
                if not self._stop.is_set():
                    self._note(f"{STOPPED}: {error}")

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    # -- closing ----------------------------------------------------------------------------------

    def _close_vectors(self) -> None:
        for vectors in self._vectors.values():
            vectors.close()
        self._vectors = {}
        self._all_embedded = False

    def _drop_layers(self) -> None:
        self._close_vectors()
        evidence, self._evidence = self._evidence, None
        if evidence is not None:
            evidence.close()

    def close(self) -> None:
        """Write what is left, let go of everything; a second call does nothing."""
        if self._stop.is_set() or os.getpid() != self._pid:
            return
        with suppress(StoreError):  # what is not folded now is folded when the store is opened
            if self._evidence is not None:
                self.evidence(receipts=True)
        self._stop.set()
        self._wake.set()
        if self._worker is not None and self._worker is not threading.current_thread():
            self._worker.join()
        with self._lock:
            try:
                self._drop_layers()
            finally:
                try:
                    self.journal.close()
                finally:
                    self._keeper_lock.release()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError as error:
        raise StoreError(f"{folder} is a file; expected a folder for the store") from error
    except OSError as error:
        raise disk_error(error, f"make the folder {folder}") from error


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
