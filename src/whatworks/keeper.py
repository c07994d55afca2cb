"""The keeper: the one owner of a store, which brings every layer up to date.

journal -> evidence -> embeddings -> vectors. Each layer holds how far it has
come, so that whatever was interrupted goes on where it was. Here the journal is
folded into the evidence; the keeper's parts see to all that comes of that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from whatworks import config, drafts, erasure, failpoints, system
from whatworks.cache import HotCache
from whatworks.embedders import Embedder, EmbeddingPool
from whatworks.embeddings import Basis, Embeddings
from whatworks.errors import StoreClosedError, StoreError, StoreFullError, disk_error
from whatworks.evidence import Evidence, OutdatedError, questions, renewal
from whatworks.evidence.cells import PopulationRow, RecordRow
from whatworks.generations import Generations
from whatworks.ids import uuid7
from whatworks.journal import SEGMENT_BYTES, Journal
from whatworks.lock import KeeperLock
from whatworks.model import Model
from whatworks.problems import FULL, Problems
from whatworks.rank import Learned
from whatworks.records import ChangePoint, Pattern
from whatworks.replay import Mark
from whatworks.segments import sizes
from whatworks.upkeep import Upkeep

T = TypeVar("T")
# Which opening of the evidence it is, and how often something was forgotten.
Holds = tuple[str, int]

if TYPE_CHECKING:
    from whatworks.records import Backup, Erased
    from whatworks.team.lending import Lending
    from whatworks.team.shared import Put

__all__ = ["Holds", "Keeper"]

# Where so much of the journal was folded, more is likely to come: the lookup is filled once none has.
BUSY_BYTES, QUIET_SECONDS = 2 << 20, 2.0
# But after so long it is filled all the same: filling takes a minute where there are ten million tries.
UNFILLED_SECONDS = 600.0
# How long nobody has asked before memory is given back.
REST_SECONDS = 1.0
# A question looks by itself for what other processes wrote, unless folds have lately taken more
# than half of the time, by so much: else questions were nothing but folds.
FRESH_SECONDS = 0.02
# One question asks the layers several times; it looks once.
LOOK_AGAIN_SECONDS = 0.002
# Where much is forgotten bit by bit, erasing it takes no more than one part in so many of the time.
ERASING_SHARE = 10
# The same for making the evidence anew, where machines of a team spoke of the same things at once.
REORDERING_SHARE = 10
# How long it waits before it tries again to open the tables, to fill the lookup or to erase, where
# that failed.
RETRY_SECONDS = 30.0
# How long a large write lets a question go first: a fold of fifty thousand tries takes as long.
MAKE_WAY_SECONDS = 1.0
PATTERNS_CACHED = 10_000
LEADERS_CACHED = 16
# Patterns whose numbers are looked up after a fold; where more were touched nothing stays of any.
LOOKED_UP = 1_000
UNFILLED = "rows are read from the tables, which is slower"


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
        self.config = config.Current(folder, made)
        self.journal = journal
        self.problems = Problems()
        self.patterns: HotCache[str, Pattern] = HotCache(PATTERNS_CACHED)
        self.numbers: HotCache[str, questions.Number] = HotCache(PATTERNS_CACHED)
        self.sums: HotCache[str, PopulationRow] = HotCache(1)
        self.leaders: HotCache[str, list[int]] = HotCache(LEADERS_CACHED)  # as of the last fold
        self.learned: HotCache[str, tuple[int, Learned]] = HotCache(1)  # by embedding model
        # By pattern number: records, change points, and those with what changed along with them.
        self.records: HotCache[int, RecordRow] = HotCache(PATTERNS_CACHED)
        self.changes: HotCache[int, ChangePoint | None] = HotCache(PATTERNS_CACHED)
        self.told: HotCache[int, ChangePoint] = HotCache(PATTERNS_CACHED)
        self.used = monotonic()  # when it was last of use
        self._when_idle = when_idle
        self._keeper_lock = lock
        self._lock = threading.RLock()  # held while a layer is changed
        self._waiting = set[int]()  # threads that wait for a fold, each with a question
        self._backups = threading.Lock()  # one at a time, and nobody waits for it with the other lock
        self._stop = threading.Event()
        self._evidence: Evidence | None = None
        self._reached: dict[str, Mark] = {}
        self._folded = -1  # so many appends of this process are folded
        self._forgets = 0  # how often something was forgotten
        self._erased: Erased | None = None  # what was done and nobody was told yet
        self._spent = 0.0  # time that folds took beyond half of all, as of the last one
        self._folded_at = monotonic()
        self._looked_at = 0.0  # when what others wrote was last looked for
        self._open_again_at = self._fill_again_at = self._busy_until = 0.0
        self._erase_again_at = self._reorder_again_at = 0.0
        self._unfilled_since = self._rested_at = monotonic()
        self._lending: Lending | None = None  # what it has to do with the vectors of its team
        if made.machine is not None:
            from whatworks.team.lending import Lending

            self._lending = Lending(folder)
        self.model = Model(self.config, embedder)
        self.embeddings = Embeddings(
            folder / "vectors",
            config=self.config,
            model=self.model,
            lending=self._lending,
            problems=self.problems,
            lock=self._lock,
            evidence=self.evidence,
            basis=self._basis,
            all_folded=self._all_folded,
        )
        self.generations = Generations(
            folder / "vectors",
            config=self.config,
            model=self.model,
            embeddings=self.embeddings,
            evidence=self.evidence,
            basis=self._basis,
        )
        self.upkeep = Upkeep(
            journal,
            self.problems,
            self._stop,
            look=self._shorten,
            due=self._due,
            tend=self._tend,
            rest=self._rest,
        )

    @property
    def _journal_folder(self) -> Path:
        return self.folder / "journal"

    @property
    def closed(self) -> bool:
        """Whether the store was let go."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise unless the store is still owned."""
        if self._stop.is_set():
            raise StoreClosedError("this memory is closed; open it again")

    def troubles(self) -> tuple[str, ...]:
        """What went wrong, and what makes questions slow at the moment; for ``stats``."""
        lookup = self.folded().lookup.trouble
        slow = [f"{UNFILLED}: {lookup}"] if lookup else []
        return *self.problems, *slow, *self.embeddings.troubles()

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
            self.problems.note(f"predictions are not kept: {error}")

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
            self.problems.note(FULL)
            return last
        self.problems.clear(FULL)
        return found

    def _all_folded(self) -> bool:
        """Whether the evidence has all that this process has acknowledged."""
        return self._folded == self.journal.acknowledged

    def _behind(self) -> bool:
        if not self._all_folded():
            return True
        now = monotonic()
        spent = self._spent - (now - self._folded_at) / 2
        if spent >= FRESH_SECONDS or now - self._looked_at < LOOK_AGAIN_SECONDS:
            return False
        self._looked_at = now
        return self._others_wrote(growing=True)

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

    def catch_up(self, position: tuple[str, int] | None = None) -> Evidence:
        """The evidence with everything acknowledged so far; with ``position``, at least up to there."""
        evidence = self._evidence
        if position is not None and evidence is not None and not evidence.lost:
            mark = self._reached.get(position[0])
            if mark is not None and mark.position >= position[1]:
                return evidence
        asking = threading.get_ident()
        try:
            if not self.upkeep.is_current:
                self._waiting.add(asking)
            with self._lock:
                return self._fold()
        finally:
            self._waiting.discard(asking)

    def make_way(self) -> None:
        """Fold before more is written, where a question waits for a fold: else it waits for that, too.

        Not for long: a layer may be made anew meanwhile.
        """
        if self._waiting and self._lock.acquire(timeout=MAKE_WAY_SECONDS):
            try:
                with suppress(Exception):  # what was written is acknowledged all the same
                    if self._waiting:
                        self._fold()
            finally:
                self._lock.release()

    @property
    def holds(self) -> Holds:
        """Changes when the file of the evidence is opened or replaced, or something is forgotten."""
        evidence = self._evidence
        return "" if evidence is None else evidence.opening, self._forgets

    def _basis(self) -> Basis:
        self.check()
        evidence = self._evidence
        return evidence, 0 if evidence is None else evidence.build, self._forgets

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
        self.upkeep.start()
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
            self.sums.clear()
            self.leaders.clear()
            self.embeddings.all_embedded = False
        if evidence.described != described:
            self.embeddings.found.clear()
        if evidence.judged != judged:  # what was learned from their tries is learned again
            self.learned.clear()
        if evidence.taught != taught and self.config.now.machine is not None:
            self.learned.clear()  # another machine may have learned it
        if touched:  # last, for it asks
            self._forget_patterns(evidence, touched)
        if evidence.gone:
            self._take_gone(evidence)
            self._forget()
            self.learned.clear()
            self.embeddings.drop_gone(evidence)
        if evidence.build != build:  # it was lost, and begun anew
            self.embeddings.close()
            self._forget()
            self._note_rebuilt(evidence)

    def _forget_patterns(self, evidence: Evidence, touched: Collection[str]) -> None:
        """Remember nothing of these patterns."""
        self.patterns.invalidate(touched)
        self.numbers.invalidate(touched)
        by_number = self.records, self.changes, self.told
        if not any(cache.describe()["size"] for cache in by_number):
            return
        numbers: list[int] | None = None
        try:
            if len(touched) <= LOOKED_UP:
                numbers = questions.numbers(evidence, touched)
        finally:  # the fold is done, and nothing says again what it touched
            for cache in by_number:
                if numbers is None:
                    cache.clear()
                else:
                    cache.invalidate(numbers)

    def _take_gone(self, evidence: Evidence) -> None:
        """Take over what was forgotten, and let other processes know."""
        self.embeddings.take_gone(evidence.gone)
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

    def _forget(self) -> None:
        self.patterns.clear()
        self.numbers.clear()
        self.records.clear()
        self._forget_changes()
        self.sums.clear()
        self.leaders.clear()
        self.embeddings.forget()

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
        if self.config.now.machine is not None:
            evidence.on_disorder = self._note_disorder
        failpoints.reached("evidence.opened")
        try:
            self._fill(evidence)
        except BaseException:
            evidence.close()
            raise
        self._note_rebuilt(evidence)
        if evidence.damaged:
            self.problems.note(f"{evidence.damaged} damaged journal records were left out")
        return evidence

    def _fill(self, evidence: Evidence) -> None:
        """Bring an evidence that nobody asks yet up to the journal."""
        evidence.fold(self._journal_folder, self.journal.settle)
        if evidence.gone:
            self._take_gone(evidence)

    def _renew(self) -> None:
        """Put another evidence in the place of the old one; nobody may have it open."""
        path, made_with = self.folder / "evidence.duckdb", self.config.now
        lost = renewal.renew(path, self._fill, model=made_with.embedder, dim=made_with.dim)
        if lost is not None:
            self.problems.note(
                f"all texts are embedded again, the old evidence could not be read: {lost}"
            )

    def _note_rebuilt(self, evidence: Evidence) -> None:
        if evidence.moved_aside:
            self.problems.note(
                f"the evidence could not be used; rebuilt from the journal, the old file is "
                f"{evidence.moved_aside.name}"
            )

    def flush(
        self, progress: Callable[[int], object] | None = None, pool: EmbeddingPool | None = None
    ) -> None:
        """Bring every layer up to date and onto the disk."""
        self.catch_up()
        self.journal.sync()
        self._fill_lookup(flushing=True)
        self.embeddings.flush(progress, pool)

    def reembed(
        self,
        embedder: Embedder,
        progress: Callable[[int], object] | None = None,
        pool: EmbeddingPool | None = None,
    ) -> None:
        """Change the embedder, see ``Generations.reembed``, and bring all onto the disk."""
        self.generations.reembed(embedder, progress, pool, switched=self._forget_changes)
        self.flush()

    def _forget_changes(self) -> None:
        self.changes.clear()
        self.told.clear()

    def rebuild(self) -> None:
        """Make the evidence again from the journal; unchanged texts keep their embedding."""
        self.check()
        with self._lock:
            self._make_anew()
            self._fold()

    def _make_anew(self) -> None:
        """Put evidence from the journal in the place of all layers, which the next fold opens."""
        self._drop_layers()
        self._renew()
        self.generations.remove_all()
        self._forget()

    def _note_disorder(self) -> None:
        """Have the evidence made anew, by the next keeper if need be: its order would count."""
        try:
            config.mark(self.folder / config.REORDER)
        except OSError as error:
            raise disk_error(error, f"write {self.folder / config.REORDER}") from error

    def put_in_order(self) -> None:
        """Fold what came, make the evidence anew where its order counts, erase what was forgotten."""
        evidence = self.evidence(receipts=True)
        if self._disordered():
            start = monotonic()
            with self._lock:
                with suppress(FileNotFoundError):  # what is marked from here on is for the next time
                    (self.folder / config.REORDER).replace(self.folder / config.REORDERING)
                self._make_anew()
                (self.folder / config.REORDERING).unlink(missing_ok=True)
                self.learned.clear()
                evidence = self._fold()
            now = monotonic()
            self._reorder_again_at = now + REORDERING_SHARE * (now - start)
        if evidence.to_erase:
            self.erase(unasked=True)

    def _disordered(self) -> bool:
        marks = config.REORDER, config.REORDERING
        return self.config.now.machine is not None and any((self.folder / m).exists() for m in marks)

    def put_vectors(self, url: str, place: str) -> Put:
        """Put a part of the vectors where the team shares them."""
        if self._lending is None:
            raise StoreError(f"the store in {self.folder} is in no team")
        return self._lending.put(self, url, place)

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
        with self.generations.moving, self._backups:
            erasure.resume(self.folder, self._journal_folder)
            evidence = self.evidence(receipts=True)
            told = erasure.told(self._journal_folder)
            if not told and not evidence.to_erase:  # or another thread was faster
                last, self._erased = self._erased, None
                return last or Erased(records=0, segments=0, bytes=0, unreadable=0, seconds=0.0)
            with self._lock:  # as each fold that forgets: one draft of the file at a time
                self._tell()
            found = erasure.find(self._journal_folder, told, self.check)
            erasure.overwrite(self.folder, self._journal_folder, found.places)
            with self._lock:
                evidence = self.evidence(receipts=True)
                renewal.compact(evidence, self.folder / "evidence.duckdb")
                if not evidence.lookup.whole:  # one that is filled anew was begun without it
                    evidence.lookup.remove()
            self.generations.erase(lambda _: self.check())
            for path in self.folder.glob("**/evidence.aside-*"):
                path.unlink()
            drafts.clear(self.folder, "sql")
            failpoints.reached("erasure.told")
            kept = len(told.places) if self.config.now.machine else 0  # until all machines have done it
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
        self.upkeep.wake()  # an index may be due
        return done

    def backup(self, folder: Path, *, keep: int | None, made_at: datetime) -> Backup:
        """Put a backup of all that is acknowledged now into ``folder``; writes and questions go on."""
        from whatworks import backup

        backup.require_target(folder, self.folder)
        with self._backups, ExitStack() as stack:
            with self._lock:  # the configuration belongs to the state of the evidence
                con = stack.enter_context(self.evidence(receipts=True).snapshot())
                made_with = self.config.now
            return backup.make(con, self._journal_folder, made_with, folder, made_at=made_at, keep=keep)

    def snapshot(self, target: Path) -> None:
        """Put a copy of the evidence, with all that is acknowledged now, into a new file."""
        with self._lock:
            self.evidence(receipts=True).duplicate(target)

    # -- background work --------------------------------------------------------------------------

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
        self._when_idle()

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

    def _to_erase(self) -> bool:
        """Whether it is time to take what was forgotten off the disk, where nobody waits for that."""
        evidence = self._evidence
        return evidence is not None and evidence.to_erase and monotonic() >= self._erase_again_at

    def _to_reorder(self) -> bool:
        """Whether it is time to make the evidence anew, since records came too late."""
        return monotonic() >= self._reorder_again_at and self._disordered()

    def _due(self) -> bool:
        if self._to_fill() or self._to_erase() or self._to_reorder() or self.embeddings.due:
            return True
        return self._to_open() or self._others_wrote()

    def _to_open(self) -> bool:
        """Whether the tables are still closed, since no question has needed them."""
        evidence = self._evidence
        return evidence is not None and evidence.unopened and monotonic() >= self._open_again_at

    def _open_tables(self) -> None:
        """See that the tables are whole, whoever needs them."""
        self._open_again_at = monotonic() + RETRY_SECONDS
        evidence = self._evidence
        try:
            if evidence is not None and evidence.unopened:
                evidence.need()  # before it folds: who can do with the last fold waits for no other
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
        self.embeddings.tend()

    # -- closing ----------------------------------------------------------------------------------

    def _drop_layers(self) -> None:
        self.embeddings.close()
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
        try:
            self.upkeep.join()
            with self._lock:
                self._drop_layers()
        finally:
            self._keeper_lock.release()
