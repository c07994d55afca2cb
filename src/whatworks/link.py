"""A process's link to a store: its own journal to write to, and whoever keeps the store to ask.

The first process that needs an answer becomes the keeper and answers its own
questions directly; the others send theirs to it. When it goes, the next one
that needs an answer takes its place.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from whatworks import config, failpoints
from whatworks.desk import Desk
from whatworks.errors import (
    ModelMismatchError,
    NotFoundError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    disk_error,
)
from whatworks.lock import KeeperLock, holder
from whatworks.redaction import Secrets

if TYPE_CHECKING:
    from whatworks.client import Client
    from whatworks.embedders import Embedder, EmbeddingPool
    from whatworks.journal import Durability, Journal
    from whatworks.keeper import Keeper
    from whatworks.records import Migration
    from whatworks.server import Server
    from whatworks.team.following import Background
    from whatworks.wire import Gone, Hello, Reply, Request

__all__ = ["Link", "Recent"]

P = ParamSpec("P")
T = TypeVar("T")
Question = Callable[Concatenate[Desk, P], T]

# A keeper that is not of use for so long lets go of the store, so that other
# programs can open its files.
IDLE_SECONDS = float(os.environ.get("WHATWORKS_IDLE_SECONDS", "30"))
# How long a question waits for somebody to keep the store, and how often it looks.
PATIENCE_SECONDS = 15.0
RETRY_SECONDS = 0.02
# Whoever has given the store away does not take it back within this time.
COURTESY_SECONDS = 0.5
# How long closing waits for the questions of other threads and processes.
CLOSE_SECONDS = 0.5
SERVE_SECONDS = 0.5
SOCKET = "keeper.sock"
ENGINE = "usearch"  # keeps the vectors of a new store, unless another is asked for

_sharing = threading.RLock()  # a handle may be collected while another is opened
_links: dict[str, Link] = {}


def _begin_anew() -> None:
    """In a forked child: what another thread of the parent held stays held here for ever."""
    global _sharing
    _sharing = threading.RLock()
    _links.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


@atexit.register
def _close_all() -> None:
    for link in list(_links.values()):
        link.close()


# So many records of one call let a question go first.
MANY = 100
NOWHERE = ("", 0)  # in no segment: all is folded for it


class Recent:
    """What was written or seen lately, by all handles of the store.

    A write needs no question to know whether a pattern or an event exists.

    Parameters
    ----------
    folder
        The store.
    position
        How far this process has written: segment and offset, ``None`` where nothing is open.
    """

    def __init__(self, folder: Path, position: Callable[[], tuple[str, int] | None]) -> None:
        self._path = folder / config.FORGETS
        self._position = position
        self._seen: tuple[int, int] | None = None
        self.patterns: set[str] = set()
        self.events: dict[str, dict[str, Any]] = {}
        self._letting_go = threading.Lock()
        self._let_go = 0  # how often
        self._unknown_until: tuple[str, int] | None = None
        self.resolving = threading.Lock()  # outcomes are compared and written one at a time

    def check(self) -> bool:
        """Know nothing any more if something was forgotten since this was called last, and say so."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        if (found.st_ino, found.st_mtime_ns) != self._seen:
            self._seen = found.st_ino, found.st_mtime_ns
            self.patterns = set()
            self.let_go()
            return True
        return False

    def let_go(self) -> None:
        """Remember none of the events so far: those that are not folded yet are unknown until then."""
        with self._letting_go:
            self.events = {}
            self._let_go += 1
            # Behind that: what another thread has put there meanwhile was written before.
            self._unknown_until = self._position() or NOWHERE

    def find(self, reach: Callable[[tuple[str, int]], bool]) -> None:
        """Have the events that were let go of in the evidence; ``reach`` says whether they are now."""
        with self._letting_go:
            until, let_go = self._unknown_until, self._let_go
        if until is not None and reach(until):
            with self._letting_go:
                if self._let_go == let_go:
                    self._unknown_until = None


class Link:
    """One store as this process sees it, shared by its handles, open to all threads.

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
        durability: Durability,
        create: bool,
    ) -> None:
        self.folder = folder
        self.embedder = embedder
        self.durability = durability
        self.recent = Recent(folder, self._position)
        self.stays = False  # whether to keep the store however idle it is
        self.ships_last = False  # whether closing ships to the team, however short it was open
        self._pid = os.getpid()
        self._users = 0
        self._key = ""  # under which it is shared
        self._closed = False
        self._turn = threading.Condition(threading.RLock())  # held while the keeper changes
        self._keeper: Keeper | None = None
        self._desk: Desk | None = None
        self._server: Server | None = None
        self._team: Background | None = None
        self._client: Client | None = None
        self._asking = 0  # threads that use the keeper
        self._gave = 0.0  # when the store was given away
        self.config = self._configuration(vectors, create)
        self.secrets = Secrets(self.config.store_id)  # which stays as it is, in every process
        self.agree(embedder, vectors)
        self._journal: Journal | None = None
        self._writing = threading.Lock()  # held while the journal is made, or its clock is set
        self._heard = 0  # the latest stamp of a keeper, as long as there is no journal
        if embedder is not None and self.config.embedder == "none":
            with self.kept():  # which takes over the embedder's name
                pass

    def _configuration(self, vectors: str | None, create: bool) -> config.Config:
        """The store's configuration; without one, that of a new store."""
        if vectors is not None:
            from whatworks.stores import engine_class

            engine_class(vectors)  # before anything is made
        with suppress(NotFoundError):
            found = config.load(self.folder)
            config.require_private(self.folder)
            return found
        if not create:
            raise NotFoundError(f"there is no store in {self.folder}: create one with whatworks init")
        _make(self.folder)
        return self._patiently(lambda: self._made(vectors))

    def _made(self, vectors: str | None) -> config.Config:
        """The configuration of a new store, unless another process was first and keeps it already."""
        with suppress(NotFoundError):
            return config.load(self.folder)
        config.require_free(self.folder)
        lock = KeeperLock(self.folder)
        try:
            with suppress(NotFoundError):
                return config.load(self.folder)
            model = self.embedder.model_id if self.embedder else "none"
            dim = getattr(self.embedder, "dim", None)
            return config.create(self.folder, embedder=model, dim=dim, vectors=vectors or ENGINE)
        finally:
            lock.release()

    def agree(self, embedder: Embedder | None, vectors: str | None) -> None:
        """Raise if the store was made with another embedder or engine than is asked for."""
        made = self.config
        if embedder is not None and made.embedder not in ("none", embedder.model_id):
            raise ModelMismatchError(
                f"the store in {self.folder} has embeddings of {made.embedder!r}, the embedder "
                f"given is {embedder.model_id!r}: open it with the former, or change it with "
                "whatworks reembed"
            )
        if vectors is not None and vectors != made.vectors:
            raise StoreError(
                f"the store in {self.folder} keeps its vectors in {made.vectors!r}, not in "
                f"{vectors!r}; name that engine or none, or move them with whatworks migrate"
            )

    @classmethod
    def shared(
        cls,
        folder: Path,
        *,
        embedder: Embedder | None,
        vectors: str | None,
        durability: Durability,
        create: bool,
    ) -> Link:
        """The one link of this process to ``folder``; give it back with ``release``."""
        key = os.path.realpath(folder)
        with _sharing:
            link = _links.get(key)
            if link is None or link._pid != os.getpid():
                link = cls(
                    folder, embedder=embedder, vectors=vectors, durability=durability, create=create
                )
                _links[key] = link
            else:
                link.agree(embedder, vectors)
                if link.durability != durability:
                    raise StoreError(
                        f"the store in {folder} is open in this process with durability "
                        f"{link.durability!r}, not {durability!r}; open both alike"
                    )
                link.lend(embedder)
            link._users += 1
            link._key = key
            return link

    def lend(self, embedder: Embedder | None) -> None:
        """Use the embedder of a second handle where the first had none."""
        self.embedder = self.embedder or embedder
        if self._keeper is not None:
            model = self._keeper.model
            model.embedder = model.embedder or embedder

    def release(self) -> None:
        """Give the link back; the last one closes it."""
        with _sharing:
            self._users -= 1
            last = self._users == 0
            key = os.path.realpath(self.folder)
            if last and _links.get(key) is self:  # after a fork it may be the child's own
                del _links[key]
        if last:
            self.close()

    def release_later(self) -> None:
        """As ``release``, for the collector: the thread it interrupts may hold any lock."""
        try:
            threading.Thread(target=self.release, name="whatworks-release").start()
        except RuntimeError:  # no more threads; closed when the interpreter goes
            return

    def check(self) -> None:
        """Raise unless this process may use the store."""
        if os.getpid() != self._pid:
            raise StoreClosedError(
                "this memory belongs to the parent process; open it again after fork"
            )
        if self._closed:
            raise StoreClosedError("this memory is closed; open it again")

    # -- writing ----------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """What this process writes; made when it first writes, or keeps the store."""
        if self._journal is None:
            from whatworks.journal import Journal

            with self._writing:
                if self._journal is None:
                    made = self.config
                    journal = Journal(
                        self.folder / "journal", made.store_id, self.durability, made.machine
                    )
                    journal.observe(self._heard)
                    if self._closed:
                        journal.close()
                    self._journal = journal
        return self._journal

    def _position(self) -> tuple[str, int] | None:
        return None if self._journal is None else self._journal.position()

    def _observe(self, stamp: int) -> None:
        """What is written from now on comes after what ``stamp`` stands for."""
        with self._writing:
            self._heard = max(self._heard, stamp)
            if self._journal is not None:
                self._journal.observe(stamp)

    def append(self, kind: str, bodies: Sequence[dict[str, Any] | bytes]) -> None:
        """Acknowledge records: on return they are safe in the journal."""
        self.check()
        self.journal.append(kind, bodies)
        keeper = self._keeper
        if keeper is not None:
            keeper.upkeep.wake()
            if len(bodies) >= MANY:
                keeper.make_way()

    def reach(self, position: tuple[str, int]) -> bool:
        """Have the evidence hold what this process wrote up to ``position``; whether it does then.

        Another process that keeps the store sees to it before each answer. Where it cannot be folded,
        as on a full disk, what was folded last has to do: of what is written twice, the first counts.
        """
        self.check()
        if (desk := self._enter()) is None:
            return False
        try:
            with suppress(StoreError):
                desk.keeper.catch_up(position)
                return True
            return False
        finally:
            self._leave()

    # -- asking -----------------------------------------------------------------------------------

    def ask(self, question: Question[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer to a question, from this process or from the one that keeps the store.

        Raises
        ------
        StoreBusyError
            Another process keeps the store and does not answer.
        """
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            self.check()
            if (desk := self._enter()) is not None:
                try:
                    return _answer(desk, question, *args, **kwargs)
                finally:
                    self._leave()
            try:
                return self._asked(question, args, kwargs)
            except ModelMismatchError:
                if self.embedder is None:
                    raise
                with self.kept() as desk:  # the keeper has no embedder, this process has
                    return _answer(desk, question, *args, **kwargs)
            except _gone() as error:
                if error.asked:  # the time that an answer was worked on is no time without a keeper
                    deadline = monotonic() + PATIENCE_SECONDS
                self._pause(deadline)

    def _enter(self) -> Desk | None:
        """The desk, if this process keeps the store, counted as in use until ``_leave``."""
        # Outside of the turn: a keeper that hangs holds up each thread, not one after another.
        if self._keeper is None and self._reachable():
            return None
        with self._turn:
            if self._keeper is None and not self._take():
                return None
            self._asking += 1
            assert self._keeper is not None
            self._keeper.used = monotonic()
            return self._desk

    def _leave(self) -> None:
        with self._turn:
            self._asking -= 1
            self._turn.notify_all()

    def _asked(self, question: Callable[..., T], args: Any, kwargs: Any) -> T:
        from whatworks.wire import Gone, error_of, form

        shape = form(question)
        if self._client is None:
            raise Gone("nobody keeps the store yet")
        reply = self._client.ask(shape.request(args, kwargs, self._position()))
        self._observe(reply.stamp)
        if reply.kind == "error":
            raise error_of(reply)
        answer: T = shape.answer(reply)
        return answer

    def _reachable(self) -> bool:
        """Whether some process seems to keep the store."""
        if self._client is None:
            if not (self.folder / SOCKET).exists():
                return False
            from whatworks.client import Client

            with self._turn:
                if self._client is None:
                    self._client = Client(self.folder / SOCKET, self._hello())
        return self._client.connected()

    def _pause(self, deadline: float) -> None:
        """Wait for somebody to take the store; it may be somebody who only just begins."""
        if monotonic() > deadline:
            pid = holder(self.folder)
            raise StoreBusyError(
                f"the store in {self.folder} is in use by process {pid or 'unknown'}, which does not "
                "answer; close it there, or wait until it ends",
                pid,
            )
        from random import uniform

        sleep(uniform(0.5, 1.5) * RETRY_SECONDS)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return attempt()
            except StoreBusyError:
                if monotonic() > deadline:
                    raise
                sleep(RETRY_SECONDS)

    # -- keeping ----------------------------------------------------------------------------------

    @contextmanager
    def kept(self) -> Iterator[Desk]:
        """The desk, in this process: whoever keeps the store now is asked to hand it over."""
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            self.check()
            with self._turn:
                if self._keeper is not None or self._take(at_once=True):
                    self._asking += 1
                    desk = self._desk
                    break
            self._ask_for_it()
            self._pause(deadline)
        try:
            assert desk is not None
            yield desk
        finally:
            self._leave()

    def serve(self, stop: threading.Event, between: Callable[[], object] | None = None) -> None:
        """Keep the store, however idle it is, until ``stop`` is set.

        Who needs it in his own process (see ``kept``) gets it, and it is taken
        back when he is done. ``between`` is called twice a second.
        """
        with self.kept() as desk:
            self.stays = True
            desk.catch_up()
        try:
            while not stop.wait(SERVE_SECONDS):
                self.check()
                if self._enter() is not None:
                    self._leave()
                    if between is not None:
                        between()
        finally:
            self.stays = False

    def flush_by(self, pool: EmbeddingPool, progress: Callable[[int], object] | None) -> None:
        """Bring every layer up to date; a pool stays in its process, so the store has to come here."""
        with self.kept() as desk:
            desk.flush_by(pool, progress)

    def reembed(
        self,
        embedder: Embedder,
        progress: Callable[[int], object] | None,
        pool: EmbeddingPool | None = None,
    ) -> None:
        """Change the embedder; a function stays in its process, so the store has to come here."""
        with self.kept() as desk:
            desk.reembed(embedder, progress, pool)
            self.embedder, self.config = embedder, desk.keeper.config.now

    def migrate(self, to: str | None, *, keep: bool, progress: Callable[[int], object]) -> Migration:
        """Move the vectors to another store; who waits for it is the one to be interrupted."""
        with self.kept() as desk:
            try:
                return desk.migrate(to, keep=keep, progress=progress)
            finally:
                self.config = desk.keeper.config.now

    def _ask_for_it(self) -> None:
        from whatworks.wire import HAND_OVER, Request

        if self._reachable() and self._client is not None:
            with suppress(_gone()):
                self._client.ask(Request(HAND_OVER))

    def _take(self, *, at_once: bool = False) -> bool:
        """Become the keeper, unless another process is; the caller has the turn."""
        if self._closed or (not at_once and monotonic() - self._gave < COURTESY_SECONDS):
            return False
        try:
            lock = KeeperLock(self.folder)
        except StoreBusyError:
            return False
        failpoints.reached("keeper.locked")
        try:
            self.config = self._adopted(config.load(self.folder))
            self.agree(self.embedder, None)
            self._keep(lock)
        except BaseException:
            if self._keeper is None:
                lock.release()
            else:
                self._end_keeper()
            raise
        return True

    def _adopted(self, found: config.Config) -> config.Config:
        """The configuration, with the name of the embedder where it had none."""
        if self.embedder is not None and found.embedder == "none":
            found = found.changed(embedder=self.embedder.model_id)
            config.save(self.folder, found)
        return found

    def _keep(self, lock: KeeperLock) -> None:
        from whatworks.keeper import Keeper

        keeper = Keeper(
            self.folder,
            lock=lock,
            made=self.config,
            journal=self.journal,
            embedder=self.embedder,
            when_idle=self._when_idle,
        )
        self._desk = Desk(keeper)
        if self._client is not None:
            self._client.close()
        self._keeper = keeper
        self._listen()
        if self.config.machine is not None:
            from whatworks.team.following import Background

            with suppress(RuntimeError):  # where no thread can be started, whatworks team sync does it
                self._team = Background(keeper, ships_last=lambda: self.ships_last)
        failpoints.reached("keeper.serving")

    def _listen(self) -> None:
        """Let other processes ask; on a full disk only this one can, until there is room."""
        from whatworks.server import Server

        with suppress(OSError, RuntimeError):  # the latter where no thread can be started
            self._server = Server(self.folder / SOCKET, self._hello(), self._serve)

    def _hello(self) -> Hello:
        from whatworks import __version__
        from whatworks.wire import PROTOCOL, Hello

        return Hello(PROTOCOL, __version__, self._pid, self.config.store_id)

    def _serve(self, request: Request) -> Reply:
        """Answer another process."""
        from whatworks import wire

        if request.ask == wire.HAND_OVER:
            if not self._let_go(patience=PATIENCE_SECONDS):
                raise StoreBusyError(f"process {self._pid} is using the store", self._pid)
            raise wire.Gone("handed over")
        question = wire.question(request.ask)
        if question is None:
            raise StoreError(
                f"the store is kept by process {self._pid}, whose whatworks cannot answer "
                f"{request.ask!r}: end it, so that this one takes over"
            )
        shape = wire.form(question)
        with self._turn:
            desk, keeper = self._desk, self._keeper
            if keeper is None or desk is None:
                raise wire.Gone("not the keeper")
            self._asking += 1
            keeper.used = monotonic()
        try:
            keeper.model.lend_embedder()
            if request.position is not None:
                keeper.catch_up(request.position)
            value = wire.encoded(_answer(desk, question, **shape.values(request)))
            return wire.Reply("answer", value, stamp=self.journal.stamp)
        except StoreError as error:
            if keeper.closed:
                raise wire.Gone("not the keeper any more") from error
            raise
        finally:
            self._leave()

    def _when_idle(self) -> None:
        keeper = self._keeper
        lost = self._server is None or not self._server.reachable()
        if lost and self._turn.acquire(blocking=False):
            try:
                if keeper is not None and keeper is self._keeper:
                    if self._server is not None:
                        self._server.close()
                    self._listen()
            finally:
                self._turn.release()
        if keeper is not None and not self.stays and monotonic() - keeper.used > IDLE_SECONDS:
            self._let_go(patience=0)

    def _let_go(self, patience: float) -> bool:
        """Stop keeping the store, once nobody asks; false if somebody does for ``patience`` seconds."""
        # The keeper's own thread must not wait for one that waits for it to end.
        if not self._turn.acquire(timeout=max(patience, 0.001)):
            return False
        try:
            if not self._turn.wait_for(lambda: self._asking == 0, timeout=patience):
                return False
            self._gave = monotonic()
            self._end_keeper()
            return True
        finally:
            self._turn.release()

    def _end_keeper(self) -> None:
        keeper, server, team = self._keeper, self._server, self._team
        self._keeper = self._desk = self._server = self._team = None
        try:
            if server is not None:
                server.close()
            if team is not None:
                team.close()
        finally:
            if keeper is not None:
                keeper.close()

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        with self._turn:
            self._turn.wait_for(lambda: self._asking == 0, timeout=CLOSE_SECONDS)
            try:
                self._end_keeper()
            finally:
                if self._client is not None:
                    self._client.close()
                with self._writing:
                    if self._journal is not None:
                        self._journal.close()


def _answer(desk: Desk, question: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Ask, and ask again if the evidence was replaced meanwhile, or turned out to need it."""
    while True:
        before = desk.keeper.holds
        try:
            return question(desk, *args, **kwargs)
        except (StoreError, LookupError):  # the latter of what was forgotten meanwhile
            if not desk.keeper.mended() and desk.keeper.holds == before:
                raise


def _gone() -> type[Gone]:
    from whatworks.wire import Gone

    return Gone


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError as error:
        raise StoreError(f"{folder} is a file; expected a folder for the store") from error
    except OSError as error:
        raise disk_error(error, f"make the folder {folder}") from error
