"""The keeper: the one owner of a store, which brings every layer up to date.

journal -> evidence -> embeddings -> vectors. Each layer holds how far it has
come, so that whatever was interrupted goes on where it was.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from math import inf, sqrt
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from whatworks import config, drafts, erasure, failpoints, migration, system
from whatworks.cache import HotCache
from whatworks.embedders import Embedder, EmbeddingPool, vectors_of
from whatworks.errors import (
    InvalidInputError,
    MissingExtraError,
    ModelMismatchError,
    StoreClosedError,
    StoreError,
    StoreFullError,
    disk_error,
)
from whatworks.evidence import Evidence, OutdatedError, questions, renewal, texts
from whatworks.evidence.cells import PopulationRow
from whatworks.ids import uuid7
from whatworks.journal import SEGMENT_BYTES, Journal
from whatworks.lock import KeeperLock
from whatworks.rank import Learned
from whatworks.records import ChangePoint, Pattern
from whatworks.replay import Mark
from whatworks.segments import sizes
from whatworks.vectors import Vectors, remove

T = TypeVar("T")
# What searches find for a text: distances by meaning, and ids by words, the best first.
Found = tuple[dict[str, float], list[str]]
# Which opening of the evidence it is, and how often something was forgotten.
Holds = tuple[str, int]

if TYPE_CHECKING:
    from whatworks.records import Backup, Erased
    from whatworks.team.lending import Lending
    from whatworks.team.shared import Put

__all__ = ["COLLECTIONS", "Found", "Holds", "Keeper"]

COLLECTIONS = ("patterns", "contexts")
# Texts are embedded in steps of about this long, so that a write waits no longer for its fold.
EMBED_SECONDS = 0.5
EMBED_BATCH = (32, 4_096)
# Texts that a pool of workers is given, and that are kept, at once.
PAGE = 1_024
# How long the background work lets writes gather before it folds them.
GATHER_SECONDS = 0.2
# While so much more is written in that time, it waits on, but not longer than this.
BURST_SECONDS, BURST_BYTES = 1.0, 256 << 10
# Where so much of the journal was folded, more is likely to come: the lookup is filled once none has.
BUSY_BYTES, QUIET_SECONDS = 2 << 20, 2.0
# But after so long it is filled all the same: filling takes a minute where there are ten million tries.
UNFILLED_SECONDS = 600.0
# How long nobody has asked before memory is given back.
REST_SECONDS = 1.0
# How often it looks for what other processes wrote. A question looks by itself, unless folds
# have lately taken more than half of the time, by so much: else questions were nothing but folds.
LOOK_SECONDS = 0.25
FRESH_SECONDS = 0.02
# One question asks the layers several times; it looks once.
LOOK_AGAIN_SECONDS = 0.002
# Where much is forgotten bit by bit, erasing it takes no more than one part in so many of the time.
ERASING_SHARE = 10
# The same for making the evidence anew, where machines of a team spoke of the same things at once.
REORDERING_SHARE = 10
# How often it is looked whether another machine of a team has embedded what waits.
AWAIT_SECONDS = 1.0
# How long it waits before it tries again to fill the lookup or to erase, where that failed.
RETRY_SECONDS = 30.0
PATTERNS_CACHED = 10_000
QUERIES_CACHED = 512
LEADERS_CACHED = 16
FOUND_CACHED = 512
STOPPED = "background work stopped"
UNFILLED = "rows are read from the tables, which is slower"
SCANNED = "vectors are compared one by one, which is slow"
FULL = "the disk is full: questions are answered from what was folded before it was"


class Keeper:
    """Owns a store's files from construction to ``close``; its methods are open to all threads.

    Parameters
    ----------
    folder, made
        The store and its configuration.
    lock
        Shows that no other process owns it; released by ``close``.
    journal
        What this process writes; also where receipts go.
    embedder
        What turns texts into vectors; ``None`` where none is at hand, which
        leaves open all that needs no vectors.
    when_idle
        Called a few times a second, from a thread of the keeper's own, while
        there is nothing to do.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lock: KeeperLock,
        made: config.Config,
        journal: Journal,
        embedder: Embedder | None,
        when_idle: Callable[[], object] = lambda: None,
    ) -> None:
        self.folder = folder
        self.config = made
        self.journal = journal
        self._backups = threading.Lock()  # one at a time, and nobody waits for it with the other lock
        self.embedder = embedder
        self.problems: list[str] = []
        self.patterns: HotCache[Pattern] = HotCache(PATTERNS_CACHED)
        self.numbers: HotCache[questions.Number] = HotCache(PATTERNS_CACHED)
        self.sums: HotCache[PopulationRow] = HotCache(1)
        self.leaders: HotCache[list[int]] = HotCache(LEADERS_CACHED)  # as of the last fold
        self.learned: HotCache[tuple[int, Learned]] = HotCache(1)  # by embedding model
        # By pattern number: change points, and those with what changed along with them.
        self.changes: HotCache[ChangePoint | None] = HotCache(PATTERNS_CACHED)
        self.told: HotCache[ChangePoint] = HotCache(PATTERNS_CACHED)
        self.queries: HotCache[NDArray[np.float32]] = HotCache(QUERIES_CACHED)
        self.found: HotCache[Found] = HotCache(FOUND_CACHED)  # until descriptions change
        self.used = monotonic()  # when it was last of use
        self._when_idle = when_idle
        self._keeper_lock = lock
        self._embedding = threading.RLock()  # held while a model works; taken before the other
        self._lock = threading.RLock()  # held while a layer is changed
        self._migrating = threading.RLock()  # one move of the vectors at a time; taken before both
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._evidence: Evidence | None = None
        self._vectors: dict[str, Vectors] = {}
        self._reached: dict[str, Mark] = {}
        self._folded = -1  # so many appends of this process are folded
        self._forgets = 0  # how often something was forgotten
        self._gone: dict[str, list[str]] = {}  # ids that stores of vectors may still find
        self._erased: Erased | None = None  # what was done and nobody was told yet
        self._spent = 0.0  # time that folds took beyond half of all, as of the last one
        self._folded_at = monotonic()
        self._looked_at = 0.0  # when what others wrote was last looked for
        self.all_embedded = False  # whether no text waited when last looked
        self._embed_batch = EMBED_BATCH[0]
        self._pooled = False  # whether a pool embeds, to which the background leaves all that waits
        self._lending: Lending | None = None  # what it has to do with the vectors of its team
        if made.machine is not None:
            from whatworks.team.lending import Lending

            self._lending = Lending(folder)
        self._fill_again_at = self._busy_until = self._erase_again_at = self._reorder_again_at = 0.0
        self._embed_again_at = inf
        self._unfilled_since = self._rested_at = monotonic()

    @property
    def _journal_folder(self) -> Path:
        return self.folder / "journal"

    def note(self, problem: str) -> None:
        """Have ``stats`` tell of a problem, once."""
        self._note(problem)

    @property
    def closed(self) -> bool:
        """Whether the store was let go."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise unless the store is still owned."""
        if self._stop.is_set():
            raise StoreClosedError("this memory is closed; open it again")

    def note_down(self, kind: str, body: dict[str, Any], holds: Holds) -> None:
        """Write down what was answered or learned; a power cut may lose the last of it.

        Raises
        ------
        StoreError
            Something was forgotten since the store was as ``holds`` says: it may be named here.
        """
        self.check()
        try:
            with self._lock:
                if holds[1] != self._forgets:
                    raise StoreError("something was forgotten meanwhile; ask again")
                self.journal.append(kind, [body], sync=False)
        except StoreClosedError:
            raise
        except StoreError as error:  # the answer is worth more than its receipt
            if holds[1] != self._forgets:
                raise
            self._note(f"predictions are not kept: {error}")

    # -- layers -----------------------------------------------------------------------------------

    def evidence(self, *, receipts: bool = False) -> Evidence:
        """The evidence, up to everything acknowledged so far; ``receipts`` if these as well.

        What other processes wrote within a moment, see ``FRESH_SECONDS``, may be missing.
        """
        self.check()
        found = self._evidence
        if receipts or found is None or found.lost or self._behind():
            return self._caught_up()
        return found

    def _caught_up(self) -> Evidence:
        """As ``catch_up``; on a full disk the evidence as of the last fold, and ``stats`` says so."""
        try:
            found = self.catch_up()
        except StoreFullError:
            with self._lock:
                last = self._evidence
                if last is None or not last.open_again():
                    raise
            self._note(FULL)
            return last
        if FULL in self.problems:
            self.problems.remove(FULL)
        return found

    def _behind(self) -> bool:
        if self._folded != self.journal.acknowledged:
            return True
        now = monotonic()
        spent = self._spent - (now - self._folded_at) / 2
        if spent >= FRESH_SECONDS or now - self._looked_at < LOOK_AGAIN_SECONDS:
            return False
        self._looked_at = now
        return self._others_wrote(growing=True)

    def catch_up(self, position: tuple[str, int] | None = None) -> Evidence:
        """The evidence with everything acknowledged so far; with ``position``, at least up to there."""
        evidence = self._evidence
        if position is not None and evidence is not None and not evidence.lost:
            mark = self._reached.get(position[0])
            if mark is not None and mark.position >= position[1]:
                return evidence
        with self._lock:
            return self._fold()

    @property
    def holds(self) -> Holds:
        """Changes when the file of the evidence is opened or replaced, or something is forgotten."""
        evidence = self._evidence
        return "" if evidence is None else evidence.opening, self._forgets

    def mended(self) -> bool:
        """Whether the evidence failed, and is whole again now: then it is worth asking again."""
        found = self._evidence
        if found is None or not found.lost or self.closed:
            return False
        self.catch_up()
        return True

    def folded(self) -> Evidence:
        """The evidence as of the last fold; cheaper where that is enough."""
        found = self._evidence
        return self.evidence() if found is None or found.lost else found

    def ask_folded(self, question: Callable[[Evidence], T]) -> T:
        """Ask the evidence as of the last fold, again if it is rebuilt meanwhile."""
        while True:
            evidence = self.folded()
            opening = evidence.opening
            try:
                return question(evidence)
            except StoreError:
                if evidence is self._evidence and opening == evidence.opening and not evidence.lost:
                    raise

    def _fold(self) -> Evidence:
        self.check()
        start = monotonic()
        written = self.journal.acknowledged  # before: what is written meanwhile is for the next fold
        if self._evidence is None:
            self._evidence = self._open_evidence()
            start = monotonic()  # opening is no look at what others wrote: it delays none
        else:
            self._fold_into(self._evidence)
        now = monotonic()
        self._spent = max(0.0, self._spent - (now - self._folded_at) / 2) + now - start
        self._folded, self._folded_at = written, now
        self._reached = dict(self._evidence.marks)  # now that the caches have forgotten what changed
        self.journal.observe(max((m.stamp for m in self._evidence.marks.values()), default=0))
        self._start_worker()
        return self._evidence

    def _fold_into(self, evidence: Evidence) -> None:
        build, described, folded = evidence.build, evidence.described, evidence.folded
        judged = evidence.judged
        taught = evidence.taught
        try:
            touched = evidence.fold(self._journal_folder, self.journal.settle)
        except BaseException:  # some batches may be in
            self._forget()
            raise
        if evidence.folded > folded + BUSY_BYTES:
            self._busy_until = monotonic() + QUIET_SECONDS
        if touched:
            self.patterns.invalidate(touched)
            self.numbers.invalidate(touched)
            kept = self.changes.describe()["size"] or self.told.describe()["size"]
            numbers = questions.numbers(evidence, touched) if kept else ()
            self.changes.invalidate(numbers)
            self.told.invalidate(numbers)
            self.sums.clear()
            self.leaders.clear()
            self.all_embedded = False
        if evidence.described != described:
            self.found.clear()
        if evidence.judged != judged:  # what was learned from their tries is learned again
            self.learned.clear()
        if evidence.taught != taught and self.config.machine is not None:
            self.learned.clear()  # another machine may have learned it
        if evidence.gone:
            self._take_gone(evidence)
            self._forget()
            self.learned.clear()
            self._drop_gone()
        if evidence.build != build:  # it was lost, and begun anew
            self._close_vectors()
            self._forget()
            self._note_rebuilt(evidence)

    def _take_gone(self, evidence: Evidence) -> None:
        """Take over what was forgotten, and let other processes know."""
        for collection, ids in evidence.gone.items():
            self._gone.setdefault(collection, []).extend(ids)
        evidence.gone = {}
        self._forgets += 1
        with suppress(StoreError):  # a full disk; it is told again before it is erased
            self._tell()

    def _tell(self) -> None:
        """Let other processes know that what they know by heart may be forgotten."""
        try:
            config.replace_file(self.folder / config.FORGETS, uuid7().encode())
        except OSError as error:
            raise disk_error(error, f"write {self.folder / config.FORGETS}") from error

    def _drop_gone(self) -> None:
        """Let the stores of vectors that are open find no more of it."""
        for name, vectors in self._vectors.items():
            if gone := self._gone.pop(name, None):
                vectors.drop(gone)

    def _forget(self) -> None:
        self.patterns.clear()
        self.numbers.clear()
        self.changes.clear()
        self.told.clear()
        self.sums.clear()
        self.leaders.clear()
        self.found.clear()
        self.all_embedded = False

    def _open_evidence(self) -> Evidence:
        if not self._journal_folder.is_dir():
            raise StoreError(f"{self._journal_folder} is missing: restore it from a backup")
        path = self.folder / "evidence.duckdb"
        renewal.clear(path)
        erasure.resume(self.folder, self._journal_folder)
        try:
            evidence = Evidence(path)
        except OutdatedError:
            self._renew()
            evidence = Evidence(path)
        if self.config.machine is not None:
            evidence.on_disorder = self._note_disorder
        failpoints.reached("evidence.opened")
        try:
            self._fill(evidence)
        except BaseException:
            evidence.close()
            raise
        self._note_rebuilt(evidence)
        if evidence.damaged:
            self._note(f"{evidence.damaged} damaged journal records were left out")
        return evidence

    def _fill(self, evidence: Evidence) -> None:
        """Bring an evidence that nobody asks yet up to the journal."""
        evidence.fold(self._journal_folder, self.journal.settle)
        if evidence.gone:
            self._take_gone(evidence)

    def _renew(self) -> None:
        """Put another evidence in the place of the old one; nobody may have it open."""
        path, made_with = self.folder / "evidence.duckdb", self.config
        lost = renewal.renew(path, self._fill, model=made_with.embedder, dim=made_with.dim)
        if lost is not None:
            self._note(f"all texts are embedded again, the old evidence could not be read: {lost}")

    def _note_rebuilt(self, evidence: Evidence) -> None:
        if evidence.moved_aside:
            self._note(
                f"the evidence could not be used; rebuilt from the journal, the old file is "
                f"{evidence.moved_aside.name}"
            )

    def vectors(self, collection: str) -> Vectors:
        """The vectors of a collection, up to everything acknowledged so far."""
        self.evidence()
        found = self._vectors.get(collection)
        if found is not None and self.all_embedded:
            return found
        try:
            self.embed()
        except StoreFullError:  # what has an embedding can be searched
            self._note(FULL)
        with self._lock:
            self._open_vectors(self.evidence())  # it may have been made anew meanwhile
            return self._vectors[collection]

    def embedded(self, collection: str, ids: list[str]) -> dict[str, NDArray[np.float32]]:
        """The embeddings that are there already, by id: nothing is embedded for this."""
        opened = self._vectors.get(collection)
        if opened is not None:
            return opened.get(ids)
        return dict(zip(*texts.of(self.evidence(), collection, self.config.embedder, ids), strict=True))

    def _open_vectors(self, evidence: Evidence) -> None:
        if self._vectors:
            return
        self._vectors = {name: self._vectors_of(evidence, self.config, name) for name in COLLECTIONS}
        self._drop_gone()

    def _vectors_of(
        self,
        evidence: Evidence,
        made: config.Config,
        name: str,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Vectors:
        return Vectors(
            evidence,
            self.folder / "vectors" / str(made.generation) / name,
            name,
            vectors=made.vectors,
            model=made.embedder,
            dim=self.config.dim or self._embedded(["dimension"]).shape[1],
            progress=progress,
        )

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
        evidence = self.evidence()
        for name in COLLECTIONS:
            if count := self._embed_some(evidence, name):
                return count
        with self._lock:
            # Another thread may have folded new texts since.
            done = self._folded == self.journal.acknowledged and self.count_waiting() == 0
            self.all_embedded = done
        return 0

    def count_waiting(self) -> int:
        """How many texts have no embedding yet."""
        evidence, model = self.evidence(), self.config.embedder
        return sum(texts.count_waiting(evidence, name, model) for name in COLLECTIONS)

    def _embed_some(self, evidence: Evidence, name: str) -> int:
        # Without the lock while the model works: a question may have to fold meanwhile.
        with self._embedding:
            with self._lock:
                self.check()
                batch = texts.waiting(evidence, name, self.config.embedder, self._embed_batch)
                before = evidence.build, self._forgets
            if not batch:
                return 0
            start = monotonic()
            made = self._made(evidence, name, [text.text for text in batch])
            fitting = len(batch) * EMBED_SECONDS / max(monotonic() - start, 1e-3)
            self._embed_batch = round(min(max(fitting, EMBED_BATCH[0]), EMBED_BATCH[1]))
            with self._lock:
                self.check()
                # Else it was begun anew, or some of the texts may be forgotten.
                if evidence is self._evidence and (evidence.build, self._forgets) == before:
                    self._keep_embeddings(evidence, name, batch, made)
            return len(batch)

    def _embed_by(
        self, pool: EmbeddingPool, name: str, progress: Callable[[int], object] | None
    ) -> bool:
        """Have the texts of a collection that wait embedded; false if it has to be begun again.

        Pages are kept in order, as they come: who is killed goes on behind the last of them.
        """
        with self._embedding:
            embedder, evidence = self._needed_embedder(), self.evidence()
            before, model = (evidence.build, self._forgets), self.config.embedder
            sent: deque[list[texts.Text]] = deque()

            def lists() -> Iterator[list[str]]:
                for page in texts.pages(evidence, name, model, PAGE):
                    sent.append(page)
                    yield [text.text for text in page]

            for made in pool.vectors(embedder, lists()):
                page = sent.popleft()
                with self._lock:
                    self.check()
                    # Else it was begun anew, or some of the texts may be forgotten.
                    if evidence is not self._evidence or (evidence.build, self._forgets) != before:
                        return False
                    self._keep_embeddings(evidence, name, page, self._fitting(made))
                if progress:
                    progress(len(page))
        return True

    def _made(self, evidence: Evidence, name: str, given: list[str]) -> NDArray[np.float32]:
        """The embeddings of texts that wait; where many do, those that the team has are taken."""
        model, dim = self.config.embedder, self.config.dim
        if self._lending is None or dim is None:
            return self._embedded(given)

        def waiting(limit: int) -> list[str]:
            return [text.text for text in texts.waiting(evidence, name, model, limit)]

        taken = self._lending.take(given, waiting, model=model, dim=dim)
        if missing := [text for text in given if text not in taken]:
            taken |= dict(zip(missing, self._embedded(missing), strict=True))
        return np.stack([taken[text] for text in given])

    def put_vectors(self, url: str, place: str) -> Put:
        """Put a part of the vectors where the team shares them."""
        if self._lending is None:
            raise StoreError(f"the store in {self.folder} is in no team")
        return self._lending.put(self, url, place)

    def _keep_embeddings(
        self, evidence: Evidence, name: str, batch: list[texts.Text], made: NDArray[np.float32]
    ) -> None:
        reached = batch[-1].change
        batch, made = self._directed(batch, made)
        kept = texts.add_embeddings(evidence, name, self.config.embedder, batch, made, reached)
        if name in self._vectors and batch:
            self._vectors[name].add([text.id for text in batch], kept)
            self._vectors[name].project()
        elif gone := self._gone.get(name):  # what came again since is found
            there = {text.id for text in batch}
            self._gone[name] = [each for each in gone if each not in there]

    def _directed(
        self, batch: list[texts.Text], made: NDArray[np.float32]
    ) -> tuple[list[texts.Text], NDArray[np.float32]]:
        """Leave out texts that the model gives no direction; they are still found by their words."""
        rows = [row for row, vector in enumerate(made) if vector.any()]
        for row in set(range(len(batch))) - set(rows):
            self._note(f"the embedder {self.config.embedder} has no vector for {batch[row].id!r}")
        return [batch[row] for row in rows], made[rows]

    def _needed_embedder(self) -> Embedder:
        if self.embedder is None:
            raise ModelMismatchError(
                f"this needs the embedder {self.config.embedder!r}, and the store was opened without "
                "one; pass it as embedder= to Memory.open"
            )
        return self.embedder

    def _embedded(self, given: list[str]) -> NDArray[np.float32]:
        return self._fitting(vectors_of(self._needed_embedder(), given))

    def _fitting(self, made: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the embedder made, if it has the dimensions of the store; the first fix them."""
        if self.config.dim is None:
            self.config = self.config.changed(dim=made.shape[1])
            config.save(self.folder, self.config)
        if made.shape[1] != self.config.dim:
            raise ModelMismatchError(
                f"the embedder {self.config.embedder!r} makes vectors of {made.shape[1]} dimensions, "
                f"the store has {self.config.dim}: give the other a model_id of its own, and reembed"
            )
        return made

    def expect_text(self) -> None:
        """A question by text comes: load the model beside what else has to be opened for it first."""
        from whatworks.embedders.minilm import MiniLM

        if isinstance(self.embedder, MiniLM) and not self._vectors:
            # Where no thread can be started it is loaded when it is needed.
            with suppress(RuntimeError):
                threading.Thread(target=_quietly, args=[self.embedder.load]).start()

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a question, from the cache if it was asked before."""
        key = f"{self.config.embedder} {text}"
        vector = self.queries.many([key], lambda _: {key: self._embedded([text])[0]})[key]
        if not vector.any():
            raise InvalidInputError(
                f"the embedder {self.config.embedder!r} has no vector for this text; say it differently"
            )
        return vector

    def direction(self, vector: Sequence[float]) -> NDArray[np.float32]:
        """A question that is an embedding, as the vector of length 1 that stores compare with.

        Raises
        ------
        InvalidInputError
            It has other dimensions than the store's embeddings.
        """
        numbers: NDArray[np.float64] = np.asarray(vector, np.float64)
        if len(numbers) != self.config.dim:
            raise InvalidInputError(
                f"vector has {len(numbers)} numbers; the embeddings of {self.config.embedder!r} in "
                f"this store have {self.config.dim}"
            )
        numbers = numbers / np.abs(numbers).max()  # else the squares of very large ones are infinite
        unit: NDArray[np.float32] = (numbers / sqrt(numbers @ numbers)).astype(np.float32)
        return unit

    def lend_embedder(self) -> None:
        """Take the built-in embedder, if it is the store's, where this process was given none."""
        if self.embedder is None:
            from whatworks.embedders.minilm import MiniLM

            if self.config.embedder == MiniLM.model_id:
                self.embedder = MiniLM()

    def describe_vectors(self) -> dict[str, Any]:
        """Engine, and for each collection how many vectors there are and how many wait."""
        evidence, model = self.evidence(), self.config.embedder
        described: dict[str, Any] = {"engine": self.config.vectors}
        told = (SCANNED, UNFILLED)
        self.problems[:] = [problem for problem in self.problems if not problem.startswith(told)]
        if evidence.lookup.trouble:
            self._note(f"{UNFILLED}: {evidence.lookup.trouble}")
        for name in COLLECTIONS:
            opened = self._vectors.get(name)
            if opened is not None and opened.trouble:
                self._note(f"{SCANNED}: the store of the {name} fails: {opened.trouble}")
            made, waiting = texts.counts(evidence, name, model)
            described[name] = {
                "vectors": made,
                "waiting": waiting,
                "in_memory": opened.in_memory if opened else 0,
            }
        if self._lending is not None and (shared := self._lending.described()) is not None:
            described["shared"] = shared
        return described

    def flush(
        self, progress: Callable[[int], object] | None = None, pool: EmbeddingPool | None = None
    ) -> None:
        """Bring every layer up to date and onto the disk."""
        self.catch_up()
        self.journal.sync()
        self._fill_lookup(flushing=True)
        if self.embedder is None:
            return
        self.embed(progress, pool)
        with self._lock:
            self._open_vectors(self.evidence())
            for vectors in self._vectors.values():
                vectors.project(force=True)
        for vectors in self._vectors.values():
            vectors.maintain()

    def rebuild(self) -> None:
        """Make the evidence again from the journal; unchanged texts keep their embedding."""
        self.check()
        with self._lock:
            self._drop_layers()
            self._renew()
            _remove(self.folder / "vectors")
            self._forget()
            self._fold()

    def _note_disorder(self) -> None:
        """Have the evidence made anew, by the next keeper if need be: its order would count."""
        try:
            config.replace_file(self.folder / config.REORDER, b"")
        except OSError as error:
            raise disk_error(error, f"write {self.folder / config.REORDER}") from error

    def put_in_order(self) -> None:
        """Fold what came, make the evidence anew where its order counts, erase what was forgotten."""
        evidence = self.evidence(receipts=True)
        if self._disordered():
            start = monotonic()
            with self._lock:
                self._drop_layers()
                self._renew()
                (self.folder / config.REORDER).unlink(missing_ok=True)
                _remove(self.folder / "vectors")
                self._forget()
                self.learned.clear()
                evidence = self._fold()
            now = monotonic()
            self._reorder_again_at = now + REORDERING_SHARE * (now - start)
        if evidence.to_erase:
            self.erase(unasked=True)

    def _disordered(self) -> bool:
        return self.config.machine is not None and (self.folder / config.REORDER).exists()

    def migrate(
        self, to: str | None, *, keep: bool, progress: Callable[[int], object] = lambda _: None
    ) -> dict[str, migration.Checked]:
        """Move the vectors to another store while questions go on to be answered by the old one.

        Interrupted, the store stays with the old one; run again, it goes on
        where it was.
        """
        with self._migrating:
            after = migration.target(self.config, to)
            found = {} if after is self.config else self._migrate(after, progress)
            if not keep:
                self._forget_former()
            return found

    def _migrate(
        self, after: config.Config, progress: Callable[[int], object]
    ) -> dict[str, migration.Checked]:
        evidence, before = self.evidence(), self.config
        build, forgets = evidence.build, self._forgets
        if self.embedder is not None:
            self.embed()
        with ExitStack() as ends:
            made = {}
            for name in COLLECTIONS:
                made[name] = self._vectors_of(evidence, after, name, progress)
                ends.callback(made[name].close)
                made[name].project(force=True)
                made[name].maintain()
            checked = self._checked(evidence, after, made, progress)
            with self._embedding, self._lock:
                self.check()
                if (evidence.build, self._forgets) != (build, forgets):
                    raise StoreError(
                        "the evidence was made anew, or something forgotten, meanwhile; run it again"
                    )
                for vectors in made.values():
                    vectors.catch_up()
                self._configure(after.changed(dim=self.config.dim))
                self._close_vectors()
                self._vectors = made
            ends.pop_all()
        if before.former is not None and before.former != after.vectors:
            self._remove_vectors(before.former, before.former_generation)
        return checked

    def _checked(
        self,
        evidence: Evidence,
        after: config.Config,
        made: dict[str, Vectors],
        progress: Callable[[int], object],
    ) -> dict[str, migration.Checked]:
        try:
            return migration.check(evidence, made, progress)
        except StoreError:  # not to be gone on with
            for vectors in made.values():
                vectors.close()
            self._remove_vectors(after.vectors, after.generation)
            raise

    def _configure(self, made: config.Config) -> None:
        config.save(self.folder, made)
        self.config = made

    def _forget_former(self) -> None:
        """Remove the store of vectors before the last migration."""
        former, generation = self.config.former, self.config.former_generation
        if former is not None:
            self._configure(self.config.changed(former=None, former_generation=None))
            self._remove_vectors(former, generation)

    def _remove_vectors(self, vectors: str, generation: int | None) -> None:
        folder = self.folder / "vectors" / str(generation)
        with suppress(StoreError, MissingExtraError):  # a server out of reach keeps a copy
            for name in COLLECTIONS:
                remove(vectors, folder / name)
        _remove(folder)

    def reembed(
        self,
        embedder: Embedder,
        progress: Callable[[int], object] | None = None,
        pool: EmbeddingPool | None = None,
    ) -> None:
        """Change the embedder: embed everything anew beside the old, then switch at once.

        Interrupted, the store stays with the old embedder; run again, it
        goes on where it was.
        """
        evidence = self.evidence()
        with self._migrating, self._embedding, self._lock:
            old, before = self.embedder, self.config
            made = vectors_of(embedder, ["dimension"])
            same = embedder.model_id == before.embedder
            if same and before.dim not in (None, made.shape[1]):
                raise InvalidInputError(
                    f"the store has embeddings of {embedder.model_id!r} with {before.dim} dimensions, "
                    f"this one makes {made.shape[1]}; give it another model_id"
                )
            after = before.changed(
                embedder=embedder.model_id, dim=made.shape[1], generation=before.next_generation()
            )
            self._close_vectors()
            self.embedder, self.config = embedder, after
            try:
                self.embed(progress, pool)
                config.save(self.folder, after)
            except BaseException:
                self.embedder, self.config = old, before
                raise
            self.changes.clear()
            self.told.clear()
            texts.drop_other_models(evidence, embedder.model_id)
            self._remove_vectors(before.vectors, before.generation)
            self._forget_former()  # which has vectors of the other model
        self.flush()

    @contextmanager
    def still(self) -> Iterator[Evidence]:
        """The evidence with all that is acknowledged; nothing is folded meanwhile by others."""
        with self._lock:
            yield self.evidence(receipts=True)

    def erase(self, *, unasked: bool = False) -> Erased:
        """Take what was forgotten off the disk; interrupted, the next keeper does it again.

        What was done ``unasked`` is told to whoever asks next, if nothing is left to do for him.
        """
        from whatworks.records import Erased

        start = monotonic()
        with self._migrating, self._backups:
            erasure.resume(self.folder, self._journal_folder)
            evidence = self.evidence(receipts=True)
            told = erasure.told(self._journal_folder)
            if not told and not evidence.to_erase:  # or another thread was faster
                last, self._erased = self._erased, None
                return last or Erased(records=0, segments=0, bytes=0, unreadable=0, seconds=0.0)
            self._tell()
            found = erasure.find(self._journal_folder, told, self.check)
            erasure.overwrite(self.folder, self._journal_folder, found.places)
            with self._lock:
                evidence = self.evidence(receipts=True)
                renewal.compact(evidence, self.folder / "evidence.duckdb")
                if not evidence.lookup.whole:  # one that is filled anew was begun without it
                    evidence.lookup.remove()
            self._make_vectors_anew()
            for path in self.folder.glob("**/evidence.aside-*"):
                path.unlink()
            drafts.clear(self.folder, "sql")
            failpoints.reached("erasure.told")
            kept = len(told.places) if self.config.machine else 0  # until all machines have done it
            if not kept:
                erasure.overwrite(self.folder, self._journal_folder, told.places)
            with self._lock:  # what is forgotten from now on is for the next time
                evidence = self.evidence(receipts=True)
                if len(erasure.told(self._journal_folder).places) == kept:
                    evidence.erased()
            seconds = monotonic() - start
            self._erase_again_at = start + ERASING_SHARE * seconds
            done = Erased(
                records=len(found.places),
                segments=found.segments,
                bytes=found.bytes,
                unreadable=found.unreadable,
                seconds=seconds,
            )
            self._erased = done if unasked else None
        self.wake()  # an index may be due
        return done

    def _to_erase(self) -> bool:
        """Whether it is time to take what was forgotten off the disk, where nobody waits for that."""
        evidence = self._evidence
        return evidence is not None and evidence.to_erase and monotonic() >= self._erase_again_at

    def _to_embed(self) -> bool:
        """Whether it is time to look again if another machine of the team has embedded what waits."""
        return monotonic() >= self._embed_again_at

    def _to_reorder(self) -> bool:
        """Whether it is time to make the evidence anew, since records came too late."""
        return monotonic() >= self._reorder_again_at and self._disordered()

    def _make_vectors_anew(self) -> None:
        """Have no store of vectors with what was forgotten; one that cannot erase is filled anew."""
        before = self.config
        if not (self.folder / "vectors").exists() or before.dim is None:
            return
        with self._lock:
            self._open_vectors(self.evidence())
            opened = list(self._vectors.values())
        if not all(vectors.erase() for vectors in opened):
            self._clear_generations()  # one that was begun before may have it, too
            after = before.changed(generation=before.next_generation())
            self._migrate(after, lambda _: self.check())
        self._forget_former()
        self._clear_generations()

    def _clear_generations(self) -> None:
        """Remove all stores of vectors but the present one and the one before the last migration."""
        for folder in (self.folder / "vectors").iterdir():
            if folder.name.isdigit() and folder.name not in self.config.generations():
                self._remove_vectors(self.config.vectors, int(folder.name))

    def backup(self, folder: Path, *, keep: int | None, made_at: datetime) -> Backup:
        """Put a backup of all that is acknowledged now into ``folder``; writes and questions go on."""
        from whatworks import backup

        backup.require_target(folder, self.folder)
        with self._backups, ExitStack() as stack:
            with self._lock:  # the configuration belongs to the state of the evidence
                con = stack.enter_context(self.evidence(receipts=True).snapshot())
                made_with = self.config
            return backup.make(con, self._journal_folder, made_with, folder, made_at=made_at, keep=keep)

    def snapshot(self, target: Path) -> None:
        """Put a copy of the evidence, with all that is acknowledged now, into a new file."""
        with self._lock:
            self.evidence(receipts=True).duplicate(target)

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
        """Fold, embed and tend the stores while nobody asks, until the store is let go."""
        while not self._stop.is_set():
            woken = self._wake.wait(LOOK_SECONDS)
            self._shorten()
            due = self._to_fill() or self._to_erase() or self._to_reorder() or self._to_embed()
            if not (woken or due or self._unopened() or self._others_wrote()):
                self._rest()
                self._when_idle()
                continue
            self._wake.clear()
            if self._gather():
                return
            try:
                self._tend()
                self.problems[:] = [p for p in self.problems if not p.startswith(STOPPED)]
            except Exception as error:  # noqa: BLE001 - shown in stats; the next write tries again
                if not self._stop.is_set():
                    self._note(f"{STOPPED}: {error}")

    def _shorten(self) -> None:
        """Have what is in the log in the file, where it has grown amid much writing that is over."""
        evidence = self._evidence
        if evidence is not None and evidence.is_long and monotonic() >= self._busy_until:
            with self._lock:
                evidence.shorten()

    def _rest(self) -> None:
        """Hold less memory once nobody has asked for a while: two thirds of it are the engine's."""
        if self._rested_at < self.used < monotonic() - REST_SECONDS and self._evidence is not None:
            self._rested_at = monotonic()
            self._evidence.rest()
            system.give_back_memory()

    def _gather(self) -> bool:
        """Wait for the rest of a burst of writes, in one fold it takes less time; true if all ends."""
        until, before = monotonic() + BURST_SECONDS, self._written()
        while not self._stop.wait(GATHER_SECONDS):
            if self._written() < before + BURST_BYTES or monotonic() >= until:
                return False
            before = self._written()
        return True

    def _written(self) -> int:
        position = self.journal.position()
        return 0 if position is None else position[1]

    def _others_wrote(self, *, growing: bool = False) -> bool:
        """Whether other processes wrote; ``growing`` looks only at segments that are not full."""
        evidence, own = self._evidence, self.journal.position()
        if evidence is None:
            return False
        known = self._reached.items() if growing else ()
        passed = {name for name, mark in known if mark.position >= SEGMENT_BYTES}
        if own is not None:
            passed.add(own[0])
        with suppress(StoreError):  # the journal cannot be read: the next question says so
            return evidence.behind(sizes(self._journal_folder, passed))
        return False

    def wake(self) -> None:
        """Something was written: fold it soon."""
        self._wake.set()

    def _to_fill(self, *, flushing: bool = False) -> bool:
        """Whether the lookup is to be filled now; amid much writing only for ``flushing``."""
        evidence, now = self._evidence, monotonic()
        if evidence is None or evidence.lost or evidence.lookup.whole:
            self._unfilled_since = now
            return False
        quiet = flushing or now >= min(self._busy_until, self._unfilled_since + UNFILLED_SECONDS)
        return quiet and now >= self._fill_again_at

    def _fill_lookup(self, *, flushing: bool = False) -> None:
        if self._to_fill(flushing=flushing) and not self.evidence().fill_lookup(
            self._lock, self._stop.is_set
        ):
            self._fill_again_at = monotonic() + RETRY_SECONDS

    def _unopened(self) -> bool:
        """Whether the tables are still closed, since no question has needed them."""
        return self._evidence is not None and self._evidence.unopened

    def _open_tables(self) -> None:
        """See that the tables are whole, whoever needs them."""
        try:
            self.evidence(receipts=True).need()
        except StoreError:
            if not self.mended():
                raise

    def _tend(self) -> None:
        self.used = monotonic()
        self._open_tables()
        self._fill_lookup()
        if self._to_reorder():
            self._reorder_again_at = monotonic() + RETRY_SECONDS
            self.put_in_order()
        if self._to_erase():
            self._erase_again_at = monotonic() + RETRY_SECONDS
            self.erase(unasked=True)
        self._embed_again_at = inf
        if self.embedder is not None:
            if self._lending is not None and self._lending.awaits(self.count_waiting()):
                self._embed_again_at = monotonic() + AWAIT_SECONDS
                return
            while not self._pooled and self.embed_some():
                pass
            for vectors in list(self._vectors.values()):
                vectors.maintain()

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    # -- closing ----------------------------------------------------------------------------------

    def _close_vectors(self) -> None:
        for vectors in self._vectors.values():
            vectors.close()
        self._vectors = {}
        self.found.clear()
        self.all_embedded = False

    def _drop_layers(self) -> None:
        self._close_vectors()
        evidence, self._evidence = self._evidence, None
        if evidence is not None:
            evidence.close()

    def close(self) -> None:
        """Write what is left, let go of everything; a second call does nothing."""
        if self._stop.is_set():
            return
        try:
            with suppress(StoreError):  # what is not folded now is folded when the store is opened
                if self._evidence is not None:
                    self.evidence(receipts=True)
        finally:
            self._end()

    def _end(self) -> None:
        self._stop.set()
        self._wake.set()
        try:
            if self._worker is not None and self._worker is not threading.current_thread():
                self._worker.join()
            with self._lock:
                self._drop_layers()
        finally:
            self._keeper_lock.release()


def _quietly(work: Callable[[], object]) -> None:
    with suppress(Exception):  # who needs it does it again, and is told
        work()


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
