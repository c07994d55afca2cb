"""The journal: an append-only log of everything that was acknowledged. It is the truth.

Each process writes a segment of its own (``segments`` has the format). A
record is acknowledged when ``append`` returns: at durability ``durable`` it has
then been synced to the disk (``fdatasync``), at ``process`` it has been handed
to the operating system, which survives the death of this process but not a
power cut in the next half minute.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from whatworks import failpoints, system
from whatworks.errors import StoreClosedError, StoreError, disk_error
from whatworks.ids import uuid7
from whatworks.segments import FORMAT, Record, Segment, frames, head, last, read, segments, writer_of

__all__ = ["SEGMENT_BYTES", "Durability", "Journal", "Record", "Segment", "read", "segments"]

Durability = Literal["durable", "process"]
# A segment is read from its start when a store is rebuilt; 64 MiB is about
# 200,000 events and one second of reading.
SEGMENT_BYTES = 64 << 20
# Short runs go on where earlier ones ended; so many of the newest segments are asked.
RESUMABLE = 16
# File systems take names of 255 bytes.
LONGEST_STEM = 200
# Behind these bytes without a line end no process goes on writing.
SEALED = b"sealed"


class _Append(NamedTuple):
    """Records of one kind that belong together; ``stamp`` is that of the first, others count on."""

    stamp: int
    kind: str
    bodies: Sequence[bytes]

    @property
    def last(self) -> int:
        """The stamp of the last record."""
        return self.stamp + len(self.bodies) - 1


@dataclass(slots=True)
class _Open:
    """The segment being written.

    ``written`` is its size and the stamp of its last record; the first
    ``synced`` bytes are safe, ``unsynced`` holds the appends behind them.
    """

    file: int
    name: str
    writer: str
    sequence: int = 0
    written: tuple[int, int] = (0, 0)
    synced: int = 0
    unsynced: list[_Append] = field(default_factory=list)
    broken: bool = False


class Journal:
    """Appends records to a segment of its own, from any number of threads.

    Parameters
    ----------
    folder
        The journal's folder; it must exist.
    store_id
        Written into record 0 of each segment.
    durability
        ``durable`` or ``process``; see the module's docstring.
    machine
        Which machine of a team this is: segments of others lie in the same folder, and are never
        written to.

    Threads that append at the same time share one sync.
    """

    def __init__(
        self,
        folder: Path,
        store_id: str,
        durability: Durability = "durable",
        machine: str | None = None,
    ) -> None:
        self._folder = folder
        self._store_id = store_id
        self._machine = machine
        self._durable = durability == "durable"
        self._write_lock = threading.Lock()
        self._sync_lock = threading.Lock()  # taken after the write lock, never before it
        self._open: _Open | None = None
        self._stamp = 0
        self._safe = 0  # what was written up to this stamp is on the disk, but for
        self._refused: list[tuple[int, int]] = []  # what lies behind the first, up to the second
        self._closed = False
        self.acknowledged = 0  # appends so far, but for those that need no sync

    # -- time -------------------------------------------------------------------------------------

    @property
    def stamp(self) -> int:
        """The latest stamp given or observed."""
        return self._stamp

    def observe(self, stamp: int) -> None:
        """What is written from now on comes after what ``stamp`` stands for."""
        if stamp > self._stamp:
            with self._write_lock:
                self._stamp = max(self._stamp, stamp)

    def _next_stamp(self) -> int:
        self._stamp = max(time.time_ns() // 1_000, self._stamp + 1)
        return self._stamp

    # -- writing ----------------------------------------------------------------------------------

    def append(self, kind: str, bodies: Sequence[dict[str, Any] | bytes], *, sync: bool = True) -> None:
        """Append one record per body; on return all are acknowledged, on an error none is.

        Bodies may be JSON already, without line ends.

        ``sync=False`` acknowledges at level ``process``, whatever the journal's level.

        Raises
        ------
        StoreFullError
            No room; the segment was cut back to where it was.
        StoreError
            The disk refused, also in a second segment; the next append begins a new one.
        """
        import orjson  # who only asks writes nothing

        # Copied: the encoder cuts each from a larger block, and many held at once take fresh memory.
        encoded = [body if isinstance(body, bytes) else b"%b" % orjson.dumps(body) for body in bodies]
        if not encoded:
            return
        with self._write_lock:
            opened = self._writable()
            append = _Append(self._next_stamp(), kind, encoded)
            self._stamp = append.last
            self._write(opened, [append])
            if self._durable:
                opened.unsynced.append(append)
            self.acknowledged += sync
        failpoints.reached("journal.written")
        if sync and self._durable:
            self._secure(append.last)
            failpoints.reached("journal.synced")

    def sync(self) -> None:
        """Make all records safe, at any level."""
        with self._write_lock:
            opened = self._open
            stamp = opened.written[1] if opened else 0
        if opened is not None:
            self._secure(stamp)

    def settle(self) -> tuple[str, int] | None:
        """Segment being written, and the offset behind its last safe record.

        ``None`` where none is being written. At level ``process`` whatever is
        written counts as safe.
        """
        if self._durable:
            with suppress(StoreError):
                self.sync()
        with self._write_lock:
            opened = self._open
            if opened is None:
                return None
            return opened.name, opened.synced if self._durable else opened.written[0]

    def position(self) -> tuple[str, int] | None:
        """Segment being written, and the offset behind its last record."""
        opened = self._open
        return None if opened is None else (opened.name, opened.written[0])

    def _write(self, opened: _Open, appends: Sequence[_Append]) -> None:
        size, stamp = opened.written
        lines = list[bytes]()
        for append in appends:
            lines += frames(opened.sequence + len(lines), *append)
        data = b"".join(lines)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(opened.file, view) :]
            opened.sequence += len(lines)
            opened.written = size + len(data), max(stamp, appends[-1].last)
        except BaseException as error:  # also what a signal raises: nobody knows how much is written
            opened.broken = True
            if opened.written[0] == size:
                self._cut(opened, size)
            if isinstance(error, OSError):
                raise self._failed(error) from error
            raise

    def _cut(self, opened: _Open, size: int) -> None:
        """Take back what was written of a call that failed; if that fails too, begin elsewhere."""
        with suppress(OSError):
            os.ftruncate(opened.file, size)
            sequence = last(Segment(opened.name, self._folder / opened.name, size))
            opened.sequence = 0 if sequence is None else sequence.sequence + 1
            opened.broken = False

    def _failed(self, error: OSError) -> StoreError:
        return disk_error(error, f"write the journal in {self._folder}; nothing was stored")

    # -- syncing ----------------------------------------------------------------------------------

    def _secure(self, stamp: int) -> None:
        """Return once what was written up to ``stamp`` is on the disk."""
        with self._sync_lock:
            if any(low < stamp <= high for low, high in self._refused):
                raise StoreError(f"the disk refused to sync {self._folder}; nothing was stored")
            if stamp <= self._safe:
                return  # another thread's sync covered this record
            opened = self._open
            failure = None if opened is None else self._sync(opened)
            if opened is not None and failure is None:
                return
        with self._write_lock:  # without a segment, another thread is about to replace it
            if failure is not None and opened is not None and self._open is opened:
                self._replace(opened, failure)
        self._secure(stamp)

    def _sync(self, opened: _Open) -> OSError | None:
        """Sync a segment; the caller holds the sync lock."""
        # After a failure the kernel may have dropped the pages: a second sync would lie.
        if opened.broken:
            return OSError(errno.EIO, "an earlier sync failed")
        size, stamp = opened.written
        count = len(opened.unsynced)
        try:
            system.sync_data(opened.file)
        except OSError as error:
            opened.broken = True
            return error
        opened.synced = size
        del opened.unsynced[:count]
        self._safe = max(self._safe, stamp)
        return None

    def _replace(self, opened: _Open, failure: OSError) -> _Open:
        """Write what is not acknowledged again, into a new segment; the fold drops repeats.

        Where that fails too, nothing of it is to come back. The caller holds
        the write lock.
        """
        fresh = None
        self._open = None
        try:
            if not self._durable:  # there is nothing to write again
                raise self._failed(failure)
            fresh = self._begin(opened.writer)
            if opened.unsynced:
                self._write(fresh, opened.unsynced)
            failpoints.reached("journal.rewritten")
            system.sync_data(fresh.file)
        except OSError as error:
            self._refuse(opened, fresh)
            raise self._failed(error) from error
        except StoreError:
            self._refuse(opened, fresh)
            raise
        with self._sync_lock:
            fresh.synced = fresh.written[0]
            self._safe = max(self._safe, opened.written[1])
            self._open = fresh
        self._retire(opened)
        return fresh

    def _refuse(self, opened: _Open, fresh: _Open | None) -> None:
        """Nothing that is not on the disk is acknowledged, to any thread that waits for it."""
        with self._sync_lock:
            self._refused.append((self._safe, opened.written[1]))
        self._seal(opened)
        if fresh is not None:
            self._seal(fresh)

    # -- segments ---------------------------------------------------------------------------------

    def _writable(self) -> _Open:
        if self._closed:
            raise StoreClosedError("this memory is closed; open it again")
        opened = self._open
        if opened is None:
            self._open = self._resume() or self._begin()
            return self._open
        self._require_there(opened)
        if not opened.broken and opened.written[0] < SEGMENT_BYTES:
            return opened
        with self._sync_lock:
            failure = self._sync(opened)
        if failure is not None:
            return self._replace(opened, failure)
        self._open = None
        self._retire(opened)
        self._open = self._begin()
        return self._open

    def _require_there(self, opened: _Open) -> None:
        """Raise if the segment is not in its place any more: nobody would find what it gets."""
        try:
            there, ours = os.stat(self._folder / opened.name), os.fstat(opened.file)
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise StoreError(f"the journal in {self._folder} was moved or replaced; open it again")
        opened.broken = opened.broken or ours.st_size != opened.written[0]

    def _resume(self) -> _Open | None:
        """Go on where a process that is gone has stopped: many short runs share a file."""
        for segment in islice(filter(self._is_own, reversed(segments(self._folder))), RESUMABLE):
            if segment.size < SEGMENT_BYTES and (opened := self._taken(segment)):
                failpoints.reached("journal.resumed")
                return opened
        return None

    def _is_own(self, segment: Segment) -> bool:
        """Whether a segment was begun by this machine."""
        return head(segment).get("machine") == self._machine

    def _taken(self, segment: Segment) -> _Open | None:
        """A segment that nobody writes, if it is whole; a torn one is left as it is."""
        try:
            file = system.hold(os.open(segment.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
        except OSError as error:
            raise self._failed(error) from error
        if system.try_lock(file):
            size = os.fstat(file).st_size
            end = last(Segment(segment.name, segment.path, size))
            if end is not None and not end.more and self._sole(segment):
                self._stamp = max(self._stamp, end.stamp)
                return _Open(
                    file,
                    segment.name,
                    writer_of(segment),
                    sequence=end.sequence + 1,
                    written=(size, end.stamp),
                    synced=size,
                )
        system.let_go(file)
        return None

    def _sole(self, segment: Segment) -> bool:
        """Whether a segment is the only one of its writer: stamps of two would be out of order."""
        writer = writer_of(segment)
        others = [each for each in segments(self._folder) if each.name > writer and self._is_own(each)]
        return writer == segment.name and all(writer_of(each) != writer for each in others)

    def _begin(self, writer: str | None = None) -> _Open:
        """A new segment; ``writer`` where it goes on with what another one should have held."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file, name = None, ""
        while file is None:
            name = self._next_name(name)
            try:
                file = system.hold(os.open(self._folder / name, flags, 0o600))
            except FileExistsError:
                pass  # another process was faster
            except OSError as error:
                raise self._failed(error) from error
        opened = _Open(file, name, writer or name)
        try:
            system.lock(file)
            failpoints.reached("journal.created")
            self._write_head(opened)
        except BaseException:
            system.let_go(file)
            raise
        failpoints.reached("journal.begun")
        return opened

    def _next_name(self, taken: str = "") -> str:
        """A name behind ``taken`` and all others: without stamps, segments are read in this order.

        Only behind those of this machine: another one may be making a name behind the same.
        """
        name = f"{uuid7()}.log"
        own = filter(self._is_own, reversed(segments(self._folder)))
        newest = max(taken, next((segment.name for segment in own), ""))
        if name > newest:
            return name
        stem = newest.removesuffix(".log")  # the clock was set back
        if len(stem) > LONGEST_STEM:  # earlier versions put one ~ behind the other
            stem = stem.rstrip("~")[:-1] + "g"  # sorts behind any hexadecimal digit
        front, _, number = stem.rpartition("~")
        if re.fullmatch(r"[0-9]{6}", number) and number != "999999":
            return f"{front}~{int(number) + 1:06}.log"
        return f"{stem}~000001.log"

    def _write_head(self, opened: _Open) -> None:
        import orjson

        body = {
            "format": FORMAT,
            "store_id": self._store_id,
            "writer": opened.writer,
            "pid": os.getpid(),
        }
        if self._machine is not None:
            body["machine"] = self._machine
        self._write(opened, [_Append(0, "segment", [orjson.dumps(body)])])
        # A file is only found again after a power cut once its folder is synced.
        try:
            system.sync(self._folder)
        except OSError as error:
            raise self._failed(error) from error

    def _retire(self, opened: _Open) -> None:
        """Close a segment that this process writes no more."""
        with self._sync_lock:
            system.let_go(opened.file)

    def _seal(self, opened: _Open) -> None:
        """Take back what was not acknowledged, and let nobody go on behind it."""
        with suppress(OSError):
            os.ftruncate(opened.file, opened.synced if self._durable else opened.written[0])
            os.write(opened.file, SEALED)
        self._retire(opened)

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        with self._write_lock:
            self._closed = True
            opened = self._open
            if opened is None:
                return
            with self._sync_lock:
                failure = self._sync(opened)
            if failure is not None:
                opened = self._replace(opened, failure)
            self._open = None
            self._retire(opened)
