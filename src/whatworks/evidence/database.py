"""The DuckDB file: opened by one process, filled by the fold, asked from any thread."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from whatworks import failpoints, system
from whatworks.errors import StoreError, StoreFullError, disk_error
from whatworks.evidence import damage, fold, order, seals
from whatworks.evidence.archive import ARCHIVED, Shelf, shelf
from whatworks.evidence.changed import Changed
from whatworks.evidence.forgetting import TO_ERASE
from whatworks.evidence.lookup import Lookup
from whatworks.evidence.order import LEARNED
from whatworks.evidence.quarantine import GUARDED, JUDGED
from whatworks.evidence.rows import Table, insert, update, written_out
from whatworks.evidence.schema import SCHEMA, VERSION
from whatworks.replay import MARK, START, Batch, Mark, News, Settled, ahead, batches, look, torn

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray

T = TypeVar("T")

__all__ = ["Evidence", "OutdatedError", "closed", "connect", "is_damage", "refused"]

# What the engine keeps of what it has read: more makes no question faster that is asked often. What
# needs more, and cannot do with the disk instead, is given more while it lasts.
MEMORY_LIMIT, LARGE_LIMIT, RESTING_LIMIT = "40MB", "256MB", "8MB"
# A batch of so many records is large.
LARGE_BATCH = 1_000
# So much journal to fold at once is worth a longer log than the engine's 16 MB, until no more comes:
# a checkpoint writes anew what has changed since the last one, and that is a second's work where
# there are a million tries.
LONG_BYTES = 2 << 20
USUAL_LOG, LONG_LOG = 16 << 20, "128MB"
# A second thread makes the answers from a file of this size faster, and those from a smaller one
# slower: seeing a new event takes 8 ms with one and 12 with two.
BYTES_PER_THREAD = 16 << 20
# What opening takes: the file, its log, a temporary one, and some for other threads meanwhile.
DESCRIPTORS = 6
# How long closing waits for questions that do not heed an interrupt.
CLOSE_SECONDS = 5.0
# How the engine says that a disk, a quota or a limit of the process is reached.
_FULL = ("No space left", "Disk quota exceeded", "File too large")
# Reasons not to open that leave the file as good as it is.
_NOT_DAMAGE = ("Could not set lock", "Permission denied", "Too many open files", *_FULL)
_COPY = """
import shutil, sys
*files, target = sys.argv[1:]
try:
    for file in files:
        shutil.copyfile(file, target + file[len(files[0]):])
except OSError as error:
    sys.exit(error.strerror or str(error))
"""
_MARKS = Table("watermarks", ("segment",), MARK)
_META = "SELECT name, value FROM meta"
_FOLDED = f"SELECT segment, {', '.join(MARK)} FROM watermarks"


class OutdatedError(StoreError):
    """The evidence file is of another version; ``renewal`` makes one of this version from it."""


class Evidence:
    """What the journal says, in tables.

    Parameters
    ----------
    path
        The database file. A missing or unreadable one is moved aside and
        begun anew; ``fold`` then fills it from the journal.

    Raises
    ------
    OutdatedError
        The file is of another version.

    One connection writes, under the owner's lock; each question is asked
    through a cursor of its own, at the last committed state. A file that is as
    it was when it was closed is opened when something needs it that the lookup
    has not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lookup = Lookup(path.with_name(f"{path.name}.lookup"))
        # The cursors of questions under way, with their threads: each holds the file's lock.
        self._cursors: dict[duckdb.DuckDBPyConnection, int] = {}
        self._cursors_lock = threading.Condition()
        self._large = 0  # how many at present need more memory
        self._large_lock = threading.Lock()
        self._long: ExitStack | None = None  # while the log may grow
        self._closing = False
        self._copying = threading.Lock()  # held while somebody needs the file to stay open
        self._filling = threading.Lock()  # one at a time; taken before the owner's lock
        self._writing = threading.RLock()  # two transactions in one would undo each other
        self._marks: dict[str, Mark] = {}
        self._unsure = False  # whether the tables may be further than ``_marks``
        self._torn: dict[str, int] = {}  # sizes of segments that end in what was never acknowledged
        self._fresh = True  # not compared with the journal yet
        self.moved_aside: Path | None = None
        self.build = 0
        self.opened_at = 0
        self.to_erase = False  # whether what was forgotten is still on the disk
        self.guarded = False  # whether tries may be held back
        self.judged = 0  # how often something was said of sources
        self._shelf = Shelf({}, frozenset())
        self.opening = ""  # another one each time that the file is opened
        self.lost = False
        self._spoilt = self._struggles = False
        self._threads = 1
        self.described = 0  # how often descriptions of patterns came or changed
        self.taught = 0  # how often something came that was learned of the world
        self._writes = 0
        self._kept: tuple[object, dict[object, list[tuple[Any, ...]]]] = (None, {})
        self.gone: dict[str, list[str]] = {}  # ids that were forgotten since somebody took them
        # Told before records are folded that would say something else in their order; see ``order``.
        self.on_disorder: Callable[[], object] | None = None
        self._late = threading.Lock()  # held while a file is opened that was not needed at first
        self.unopened = self._resume()  # the lookup alone has answered so far
        self._con = None if self.unopened else self._open()

    def _resume(self) -> bool:
        """Take up the state in which the file was closed, if the lookup has it, without opening it."""
        sealed = seals.read(self._path, VERSION)
        if sealed is None:
            return False
        self.build, self._marks = sealed
        self.lookup.open(self._state())
        if self.lookup.whole:
            self.opened_at, self.opening = self.folded, os.urandom(8).hex()
            return True
        self.build, self._marks = 0, {}
        return False

    @property
    def shelf(self) -> Shelf:
        """What is archived."""
        if self.unopened:
            self.need()
        return self._shelf

    def need(self) -> duckdb.DuckDBPyConnection:
        """The writing connection; a file that was not needed so far is opened.

        Raises
        ------
        StoreError
            It does not open, or is not the one that was closed: the next fold sees to that.
        """
        if self.unopened:
            with self._late:
                if self.unopened:
                    self._con = self._open_late()
                    self.unopened = False
        if self._con is None:
            raise StoreError("the evidence is closed; ask again")
        return self._con

    def _open_late(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        reason, con = "it was not as it was closed", None
        if not self.lost:
            _need_descriptors(self._path)  # to import the engine too
            try:
                con = self._connect()
                build = dict(con.execute(_META).fetchall()).get("build")
                marks = _marks(con.execute(_FOLDED).fetchall())
                if (build, marks) == (self.build, self._marks):
                    damage.check(con)
                    self._shelf = shelf(con)
                    return con
            except duckdb.Error as error:
                reason = _first_line(error)
                if not is_damage(error):
                    raise StoreError(f"the evidence {self._path} does not open: {reason}") from error
        if con is not None:
            con.close()
        self.lost = True
        raise StoreError(f"the evidence is opened anew, for {reason}; ask again")

    def _open(self) -> duckdb.DuckDBPyConnection:
        _need_descriptors(self._path)  # to import the engine too
        if self._path.exists():
            found = self._open_existing()
            if found is not None:
                return found
        elif self._log.exists():  # without its database it says nothing
            self._move_aside()
        return self._begin()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        self._threads = _threads(self._path)
        if not self._log_is_long():
            return connect(self._path)
        import duckdb

        con = connect(self._path, LARGE_LIMIT)  # for what is in it
        with suppress(duckdb.Error):  # what is in use stays so where the disk is full
            con.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        return con

    @property
    def _log(self) -> Path:
        return self._path.with_name(f"{self._path.name}.wal")

    def _log_is_long(self) -> bool:
        return self._log.exists() and self._log.stat().st_size > USUAL_LOG

    def _begin(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        build = int.from_bytes(os.urandom(8)) >> 2
        try:
            con = self._connect()
            con.execute(f"BEGIN; {SCHEMA}")
            con.execute(f"INSERT INTO meta VALUES ('version', {VERSION}), ('build', {build}); COMMIT")
            failpoints.reached("evidence.defined")
            # A crash must never replay definitions of tables (duckdb issue 22044).
            con.execute("CHECKPOINT")
        except duckdb.Error as error:
            raise refused(self._path, error) from error
        os.chmod(self._path, 0o600)
        failpoints.reached("evidence.begun")
        self._read_state(con)
        return con

    def _open_existing(self) -> duckdb.DuckDBPyConnection | None:
        """The database, or ``None``: a damaged one is moved aside, an unfinished one gone."""
        import duckdb

        con = None
        try:
            con = self._connect()
            if self._read_state(con):
                damage.check(con)
                return con
        except duckdb.Error as error:
            if not is_damage(error):
                message = f"the evidence {self._path} does not open: {_first_line(error)}"
                raise StoreError(message) from error
            if con is not None:
                con.close()
            self._move_aside()
            return None
        except OutdatedError:
            if con is not None:
                con.close()  # which puts its write-ahead log into the file
            raise
        con.close()
        for path in (self._log, self._path):
            path.unlink(missing_ok=True)
            failpoints.reached("evidence.removed")
        return None

    def _read_state(self, con: duckdb.DuckDBPyConnection) -> bool:
        """Read version, build and watermarks; false if the tables were never finished."""
        import duckdb

        try:
            meta = dict(con.execute(_META).fetchall())
        except duckdb.CatalogException:
            return False
        if "version" not in meta:
            return False
        if meta["version"] != VERSION:
            raise OutdatedError(f"the evidence {self._path} is of another version of whatworks")
        self._marks, self._unsure = _marks(con.execute(_FOLDED).fetchall()), False
        self.opened_at = self.folded
        self.opening = os.urandom(8).hex()
        self._fresh = True
        self.build = int(meta.get("build", 0))
        self.to_erase = TO_ERASE in meta
        self.guarded = GUARDED in meta
        self._shelf = shelf(con)
        self.lookup.open(self._state())
        return True

    def _state(self) -> tuple[int, ...]:
        """Names the state of the tables: of the same making and as far in the journal, the same."""
        return self.build, self.folded, max((mark.stamp for mark in self._marks.values()), default=0)

    def _move_aside(self) -> None:
        """Keep the file that cannot be used under another name; it may still be looked at."""
        stamp = f"{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**9:09}"
        # The log first: a process that dies in between must not leave it alone.
        for source, suffix in ((self._log, ".wal"), (self._path, "")):
            if source.exists():
                target = source.with_name(f"{self._path.stem}.aside-{stamp}.duckdb{suffix}")
                source.rename(target)
                failpoints.reached("evidence.moved")
                self.moved_aside = target

    @property
    def folded(self) -> int:
        """How many bytes of the journal are in the tables; ``opened_at``: when they were opened."""
        return sum(mark.position for mark in self._marks.values())

    # -- writing: the caller holds the owner's lock --------------------------------------------

    @property
    def marks(self) -> Mapping[str, Mark]:
        """How far each segment of the journal is folded."""
        return self._marks

    @property
    def damaged(self) -> int:
        """How many records of the journal were left out."""
        return sum(mark.damaged for mark in self._marks.values())

    def behind(self, sizes: Mapping[str, int]) -> bool:
        """Whether segments, by name, hold more bytes than are folded, or may hold."""
        return any(
            size != self._marks.get(name, START).position and size != self._torn.get(name)
            for name, size in sizes.items()
        )

    def fold(self, folder: Path, settle: Callable[[], Settled]) -> set[str]:
        """Apply all that the journal in ``folder`` holds and the tables do not.

        See ``replay.look`` for ``settle``. Returns the patterns touched.
        """
        try:
            return self._fold(folder, settle)
        except StoreError:
            if not self._spoilt:
                raise
            return self._fold(folder, settle)  # which begins anew

    def _fold(self, folder: Path, settle: Callable[[], Settled]) -> set[str]:
        if self.lost:
            self._reopen()
        if self._unsure:
            self._marks, self._unsure = _marks(self.rows(_FOLDED)), False
            self.lookup.check(self._state())  # a signal may have come before it was told
        news = look(folder, self._marks, settle)
        lacks = ahead(news.segments, self._marks, thorough=self._fresh)
        if self.unopened and (lacks or self.behind({s.name: s.size for s in news.segments})):
            self._reopen()
            return self._fold(folder, settle)
        if lacks:
            self._begin_again()
            news = look(folder, self._marks, settle)
        touched: set[str] = set()
        self._lengthen(news)
        with system.uncollected():
            for batch in batches(news, self._marks):
                touched |= self._apply(batch)
        self._fresh = False
        if touched:
            self._set_threads()
        for segment in news.segments:
            mark = self._marks.get(segment.name, START)
            if segment.size > mark.position and torn(segment, mark):
                self._torn[segment.name] = segment.size
        return touched

    def _lengthen(self, news: News) -> None:
        """Let the log grow from here on if there is much to fold, with memory for what is in it."""
        marks = self._marks
        waiting = sum(item.size - marks.get(item.name, START).position for item in news.segments)
        if waiting >= LONG_BYTES and self._long is None:
            self._long = ExitStack()
            self._long.enter_context(self._much_memory())
            self.need().execute(f"SET checkpoint_threshold = '{LONG_LOG}'")
            self._set_threads()

    @property
    def is_long(self) -> bool:
        """Whether the log may grow at present."""
        return self._long is not None

    def shorten(self) -> None:
        """Let the log be short again, since no more comes; the caller holds the owner's lock."""
        if self._long is None:
            return
        import duckdb

        with self._long, suppress(duckdb.Error, OSError):  # one that is shut has forgotten it
            self._long = None
            self.need().execute("RESET checkpoint_threshold")
            if self._log_is_long():
                self._checkpoint()
            if not self.lost:
                self._set_threads()

    def _checkpoint(self) -> None:
        import duckdb

        try:
            self.need().execute("CHECKPOINT")
        except (duckdb.FatalException, duckdb.InternalException) as error:
            self._shut(error)  # what was in the log still is

    @contextmanager
    def _much_memory(self) -> Iterator[None]:
        """Give the engine more memory as long as it lasts."""
        with self._large_lock:
            self._large += 1
            if self._large == 1:
                self._limit_memory(LARGE_LIMIT)
        try:
            yield
        finally:
            with self._large_lock:
                self._large -= 1
                if self._large == 0:
                    self._limit_memory(MEMORY_LIMIT)

    def _limit_memory(self, limit: str) -> None:
        import duckdb

        # What is in use cannot be taken back, nor anything given to what is shut.
        with suppress(duckdb.Error), self.need().cursor() as cursor:
            cursor.execute(f"SET memory_limit = '{limit}'")

    def rest(self) -> None:
        """Let go of what the engine holds of the file; it is read again when somebody asks."""
        with self._large_lock:
            if not (self._large or self.lost or self.unopened):
                self._limit_memory(RESTING_LIMIT)
                self._limit_memory(MEMORY_LIMIT)

    def _set_threads(self) -> None:
        threads = _threads(self._path)
        if self.is_long:  # a processor is left to whoever writes all that
            threads = max(1, min(threads, (os.cpu_count() or 1) - 1))
        if threads < self._threads and self._cursors:
            return  # the engine would wait for their questions
        if threads != self._threads:
            self.need().execute(f"SET threads = {threads}")
            self._threads = threads

    def _apply(self, batch: Batch) -> set[str]:
        """One batch and its marks in one transaction: each record counts exactly once."""
        rows = {(name,): mark.row for name, mark in batch.marks.items()}
        new = [key + row for key, row in rows.items() if key[0] not in self._marks]
        known = {key: row for key, row in rows.items() if key[0] in self._marks}

        changed = Changed(wanted=self.lookup.wanted, guarded=self.guarded)
        archived = list[Shelf]()  # if it changes

        def step(con: duckdb.DuckDBPyConnection) -> set[str]:
            changed.clear()  # of a step that failed for lack of memory
            bodies = batch.bodies if self.on_disorder is None else self._ordered(con, batch)
            touched = fold.apply(con, bodies, changed)
            archived[:] = [shelf(con)] if ARCHIVED in batch.bodies or changed.gone else []
            failpoints.reached("fold.applied")
            insert(con, _MARKS.name, new)
            update(con, _MARKS, known)
            return touched

        # A signal may raise behind the commit: what is committed must not be folded again.
        self._unsure = True
        with self._much_memory() if batch.records > LARGE_BATCH else nullcontext():
            touched: set[str] = self.write(step)
        failpoints.reached("fold.committed")
        self._marks.update(batch.marks)
        self.lookup.apply(changed, self._state())
        self._unsure = False
        self.described += "pattern.added" in batch.bodies or ARCHIVED in batch.bodies
        self._shelf = archived[0] if archived else self._shelf
        self.judged += JUDGED in batch.bodies
        self.guarded = changed.guarded
        self.taught += LEARNED in batch.bodies
        for collection, ids in changed.gone.items():
            self.gone.setdefault(collection, []).extend(ids)
            self.to_erase = True
        return touched

    def _ordered(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> Mapping[str, Sequence[bytes]]:
        """The bodies of a batch without those that came too late to say anything."""
        if self.on_disorder is not None and order.matters(con, batch.late):
            self.on_disorder()
        if not (repeated := order.repeated(con, batch.late)):
            return batch.bodies
        patterns = [body for body in batch.bodies["pattern.added"] if id(body) not in repeated]
        return batch.bodies | {"pattern.added": patterns}

    def write(self, step: Callable[[duckdb.DuckDBPyConnection], Any]) -> Any:
        """Run ``step`` in a transaction; on any error nothing of it is kept."""
        with self._writing:
            return self._roomy(lambda: self._write(step))

    def _roomy(self, work: Callable[[], T]) -> T:
        """Do it with more memory where that is what it lacks."""
        try:
            return work()
        except StoreError as error:
            if not _lacks_memory(error.__cause__):
                raise
        with self._much_memory():
            return work()

    def _write(self, step: Callable[[duckdb.DuckDBPyConnection], Any]) -> Any:
        import duckdb

        con = self.need()
        try:
            with _signals(con):
                con.execute("BEGIN")
                result = step(con)
                con.execute("COMMIT")
        except (duckdb.FatalException, duckdb.InternalException) as error:
            self._shut(error)
            if _is_full(error):
                raise refused(self._path, error) from error
            raise StoreError(
                f"the evidence is reopened after {_first_line(error)}; ask again"
            ) from error
        except duckdb.Error as error:
            self._roll_back()
            if damage.shows(error):
                raise self._unread(error) from error
            raise refused(self._path, error) from error
        except BaseException:
            self._roll_back()
            raise
        self._struggles = False
        self._writes += 1
        return result

    def _shut(self, error: Exception) -> None:
        """Close what the engine has shut: only a new connection knows what was committed.

        The next fold opens it, or makes it anew if it is damaged, or opening it again did not help.
        """
        self.lost = True  # first: who is interrupted asks again
        self.close()
        again = self._struggles and not _is_full(error) and self.moved_aside is None
        self._struggles = True
        self._spoilt = self._spoilt or again or damage.shows(error)

    def _unread(self, error: Exception) -> StoreError:
        """What a reader is told; the next fold makes damaged evidence anew."""
        import duckdb

        if isinstance(error, duckdb.FatalException):  # the engine has shut the file, in whatever thread
            self.lost = True
        if not damage.shows(error):
            return StoreError(f"the evidence cannot be read: {_first_line(error)}")
        self._spoilt = self.lost = True
        return StoreError(
            f"the evidence is damaged and made anew from the journal; ask again: {_first_line(error)}"
        )

    def _roll_back(self) -> None:
        import duckdb

        # A commit that failed has rolled back already, and says so; so has a closed connection.
        with suppress(duckdb.TransactionException, duckdb.ConnectionException):
            self.need().execute("ROLLBACK")

    def _begin_again(self) -> None:
        """Begin anew: the journal has lost what the tables hold, so that they tell of nothing."""
        self.lost = True  # first: who is interrupted asks again
        self.close()
        self._move_aside()
        self._con = self._begin()
        self.lost = False

    def _reopen(self) -> None:
        self.lost = True  # until it is open again; first, for who is interrupted asks again
        self.close()
        if self._spoilt:
            self._move_aside()
        self._con = self._open()
        self.lost = self._spoilt = False

    def replaced(self, by: Callable[[Path], object]) -> None:
        """Let ``by`` put another file of the same tables into the place of this one.

        Nobody may write meanwhile, and questions under way end with an error.
        """
        self.lost = True  # first: who is interrupted asks again
        self.close()
        try:
            by(self._path)
        finally:
            self._reopen()

    def erased(self) -> None:
        """Nothing of what was forgotten is left."""
        self.write(lambda con: con.execute("DELETE FROM meta WHERE name = ?", [TO_ERASE]))
        self.to_erase = False

    def open_again(self) -> bool:
        """Whether the last committed state can be asked, after opening it again where it was lost."""
        with suppress(StoreError):
            if self.lost:
                self._reopen()
            return True
        return False

    # -- reading ------------------------------------------------------------------------------

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a question, at the last committed state."""
        return self._roomy(lambda: self._asked(query, parameters, lambda found: found.fetchall()))

    def kept(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """As ``rows``, and kept until something is written: for short answers that are asked often."""
        state, question = (self.opening, self._writes), (query, *parameters)
        if self._kept[0] != state:
            self._kept = state, {}
        known = self._kept[1]
        if question not in known:
            known[question] = self.rows(query, parameters)
        return known[question]

    def columns(self, query: str, parameters: Sequence[object] = ()) -> dict[str, NDArray[Any]]:
        """The columns of a long answer without nulls, by name."""
        return self._roomy(lambda: self._asked(query, parameters, lambda found: found.fetchnumpy()))

    def _asked(
        self,
        query: str,
        parameters: Sequence[object],
        fetch: Callable[[duckdb.DuckDBPyConnection], T],
    ) -> T:
        import duckdb

        try:
            with self._cursor() as cursor:
                return fetch(cursor.execute(*written_out(query, parameters)))
        except duckdb.Error as error:
            raise self._unread(error) from error

    def stream(
        self, query: str, parameters: Sequence[object] = (), size: int = 2_000
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of a long answer, a few at a time, all from one state."""
        import duckdb

        try:
            with self._much_memory(), self._cursor() as cursor:
                result = cursor.execute(*written_out(query, parameters))
                while rows := result.fetchmany(size):
                    yield from rows
        except duckdb.Error as error:
            raise self._unread(error) from error

    def one(self, query: str, parameters: Sequence[object] = ()) -> tuple[Any, ...]:
        """The single row of a question that always has one."""
        return self.rows(query, parameters)[0]

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one question; making one takes 4 microseconds."""
        with self._cursors_lock:
            self._cursors_lock.wait_for(lambda: not self._closing)
            cursor = self.need().cursor()
            self._cursors[cursor] = threading.get_ident()
        try:
            with _signals(cursor):
                yield cursor
        finally:
            with self._cursors_lock:
                cursor.close()
                self._cursors.pop(cursor, None)
                self._cursors_lock.notify_all()

    @contextmanager
    def snapshot(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in a transaction that sees the tables as they are now, one at a time.

        Folds go on meanwhile, and ``close`` waits.
        """
        import duckdb

        with self._copying, self._much_memory():
            try:
                with self.need().cursor() as cursor:
                    cursor.execute("BEGIN")
                    cursor.execute("SELECT count(*) FROM meta").fetchall()  # now is now
                    yield cursor
            except (duckdb.FatalException, duckdb.InternalException) as error:
                self.lost = True  # the engine has shut the file; the next fold opens it again
                raise refused(self._path, error) from error
            except duckdb.Error as error:
                raise refused(self._path, error) from error

    def duplicate(self, target: Path) -> None:
        """Copy the file as it is now, with the engine's log; the caller sees that nothing is written.

        Another process does it: closing any other handle on the file in this one would drop the
        engine's lock. It takes a hundredth of the time that the engine takes to write its copy.

        Raises
        ------
        StoreError
            It could not be copied, and why.
        """
        import subprocess

        self.need()  # which says so if it is damaged
        files = [str(path) for path in (self._path, self._log) if path.exists()]
        with self._copying, self._writing:
            words = [sys.executable, "-ISc", _COPY, *files, str(target)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StoreError(f"cannot copy {self._path} to {target}: {done.stderr.strip()}")

    def fill_lookup(self, lock: AbstractContextManager[Any], stopped: Callable[[], bool]) -> bool:
        """Fill the lookup unless it is whole; false if that was given up.

        Takes the owner's ``lock`` at the beginning and at the end alone:
        folds go on meanwhile, and ``close`` waits. Not to be called by its holder.
        """
        with self._filling:
            try:
                return self._fill_lookup(lock, stopped)
            except StoreError as error:  # of the tables; the worker tries again after a while
                with lock:
                    self.lookup.give_up(error)
                return False

    def _fill_lookup(self, lock: AbstractContextManager[Any], stopped: Callable[[], bool]) -> bool:
        with ExitStack() as stack:
            with lock:
                if self.lookup.whole or self.lost:
                    return True
                con, build = stack.enter_context(self.snapshot()), self.build
                self.lookup.begin(self._state())
            filled = self.lookup.fill(con, stopped)
        with lock:
            self.lookup.finish(self._state(), filled=filled and build == self.build)
        return filled

    def close(self) -> None:
        """Close every connection; the last one writes a checkpoint. Questions end with an error."""
        whole = self.lookup.whole
        self.lookup.close()
        with self._late:
            self.unopened = False
        if self._con is None:
            return
        long, self._long = self._long, None
        with long or nullcontext(), self._copying, self._cursors_lock:
            self._closing = True
            try:
                self._end_questions()
                failpoints.reached("evidence.closing")
                closed(self._con, self._path)
            finally:
                self._closing = False
                self._cursors_lock.notify_all()
        failpoints.reached("evidence.closed")
        # What is held back or to be erased is seen to by whoever opens the tables.
        if whole and not (self.lost or self._unsure or self.guarded or self.to_erase):
            seals.put(self._path, VERSION, self.build, self._marks)

    def _end_questions(self) -> None:
        """Have no cursor left: the file stays locked, and open under its name, as long as one is."""
        own = threading.get_ident()
        deadline = time.monotonic() + CLOSE_SECONDS
        while others := [cursor for cursor, thread in self._cursors.items() if thread != own]:
            if time.monotonic() > deadline:
                break
            for cursor in others:
                cursor.interrupt()
            self._cursors_lock.wait(0.01)
        for cursor in self._cursors:  # of streams that nobody reads on
            cursor.close()


def connect(path: Path, memory: str = MEMORY_LIMIT) -> duckdb.DuckDBPyConnection:
    """The one writing connection to a database file; times are UTC."""
    import duckdb

    settings: dict[str, Any] = {
        "threads": _threads(path),
        "memory_limit": memory,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    _need_descriptors(path)
    con = duckdb.connect(str(path), config=settings)
    # In a prompt or ``python -c`` the engine draws its progress between what is printed.
    con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return con


def _marks(rows: Sequence[tuple[Any, ...]]) -> dict[str, Mark]:
    return {segment: Mark(*values) for segment, *values in rows}


def _threads(path: Path) -> int:
    """How many threads help: one for each few row groups, since waking another one takes a while."""
    size = path.stat().st_size if path.exists() else 0
    return max(1, min(4, os.cpu_count() or 1, size // BYTES_PER_THREAD))


def _need_descriptors(path: Path) -> None:
    """Say so where no file can be opened: the engine would end the process instead."""
    taken = list[int]()
    try:
        for _ in range(DESCRIPTORS):
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise disk_error(error, f"open the evidence {path}") from error
    finally:
        for descriptor in taken:
            os.close(descriptor)


@contextmanager
def _signals(con: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Let through what the handler of a signal raises: the engine hides it behind its own error."""
    try:
        yield con
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        con.interrupt()  # else the next statement waits until this one has run to its end
        raise error.__cause__ or StoreError("the evidence was interrupted; ask again") from None


def closed(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Close a connection; its write-ahead log goes into the file, or waits for the next opening."""
    import duckdb

    try:
        con.close()
    except duckdb.Error as error:
        raise refused(path, error) from error


def is_damage(error: Exception) -> bool:
    """Whether a file that the engine refuses is damaged, and not only out of reach."""
    return not any(reason in str(error) for reason in _NOT_DAMAGE)


def refused(path: Path, error: Exception) -> StoreError:
    """What the engine says of writing the evidence at ``path``, as one of our errors."""
    if _is_full(error):
        return StoreFullError(
            f"no room left for {path}; what was acknowledged is in the journal: "
            "free some space and ask again"
        )
    return StoreError(f"{path} cannot be written: {_first_line(error)}")


def _is_full(error: Exception) -> bool:
    return any(reason in str(error) for reason in _FULL)


def _lacks_memory(error: BaseException | None) -> bool:
    import duckdb

    # A commit tells it in its own words: DuckDB 2.0 calls it an error of the transaction. And what
    # does not fit into memory goes to a file beside the store, where a full disk has no room.
    return (
        isinstance(error, duckdb.OutOfMemoryException)
        or (isinstance(error, duckdb.TransactionException) and "failed to pin block" in str(error))
        or (isinstance(error, duckdb.IOException) and "duckdb_temp_storage" in str(error))
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
