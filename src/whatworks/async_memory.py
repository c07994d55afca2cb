"""AsyncMemory: the methods of ``Memory``, each run in a worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from whatworks.memory import Memory
from whatworks.tracking import Tracker

__all__ = ["AsyncMemory"]

P = ParamSpec("P")
T = TypeVar("T")
_END = object()


class _Threaded(Generic[P, T]):
    """A method of ``Memory`` that is awaited."""

    def __init__(self, method: Callable[Concatenate[Memory, P], T]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    def __get__(self, memory: AsyncMemory, owner: object = None) -> Callable[P, Awaitable[T]]:
        def call(*args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
            return asyncio.to_thread(self.method, memory.sync, *args, **kwargs)

        return call


class _Pages(Generic[T]):
    """A method that gives one thing after the other, read from in threads."""

    def __init__(self, method: Callable[[Memory], Iterator[T]]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    def __get__(self, memory: AsyncMemory, owner: object = None) -> Callable[[], AsyncIterator[T]]:
        async def call() -> AsyncIterator[T]:
            found = self.method(memory.sync)
            while (item := await asyncio.to_thread(next, found, _END)) is not _END:
                yield item  # type: ignore[misc]

        return call


def _opener(open_: Callable[P, Memory]) -> Callable[P, Awaitable[AsyncMemory]]:
    async def call(*args: P.args, **kwargs: P.kwargs) -> AsyncMemory:
        return AsyncMemory(await asyncio.to_thread(open_, *args, **kwargs))

    call.__doc__ = open_.__doc__
    return call


class AsyncMemory:
    """``Memory`` for asyncio: the same methods, which do not hold up the event loop.

    Made by ``await AsyncMemory.open(...)``, with the parameters of
    ``Memory.open``, or from an open one. A call that is cancelled goes on in
    its thread, and what it writes is written.

    Parameters
    ----------
    memory
        What answers; also reachable as ``sync``.
    """

    def __init__(self, memory: Memory) -> None:
        self.sync = memory

    open = staticmethod(_opener(Memory.open))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def track(self, *args: Any, **kwargs: Any) -> Tracker:
        """As ``Memory.track``: ``async with``, and a decorator of coroutines."""
        return self.sync.track(*args, **kwargs)

    add_pattern = _Threaded(Memory.add_pattern)
    add_patterns = _Threaded(Memory.add_patterns)
    record = _Threaded(Memory.record)
    record_many = _Threaded(Memory.record_many)
    record_imported = _Threaded(Memory.record_imported)
    resolve = _Threaded(Memory.resolve)
    add_priors = _Threaded(Memory.add_priors)
    restore = _Threaded(Memory.restore)
    archive = _Threaded(Memory.archive)
    unarchive = _Threaded(Memory.unarchive)
    optimize = _Threaded(Memory.optimize)
    find_similar = _Threaded(Memory.find_similar)
    trend = _Threaded(Memory.trend)
    predict = _Threaded(Memory.predict)
    suggest = _Threaded(Memory.suggest)
    why = _Threaded(Memory.why)
    diff = _Threaded(Memory.diff)
    calibration = _Threaded(Memory.calibration)
    evaluate = _Threaded(Memory.evaluate)
    lift = _Threaded(Memory.lift)
    get_pattern = _Threaded(Memory.get_pattern)
    get_patterns = _Threaded(Memory.get_patterns)
    get_event = _Threaded(Memory.get_event)
    get_events = _Threaded(Memory.get_events)
    patterns = _Threaded(Memory.patterns)
    events = _Threaded(Memory.events)
    predictions = _Threaded(Memory.predictions)
    iter_patterns = _Pages(Memory.iter_patterns)
    iter_events = _Pages(Memory.iter_events)
    iter_priors = _Pages(Memory.iter_priors)
    iter_held = _Pages(Memory.iter_held)
    copy_table = _Threaded(Memory.copy_table)
    stats = _Threaded(Memory.stats)
    sources = _Threaded(Memory.sources)
    imports = _Threaded(Memory.imports)
    overview = _Threaded(Memory.overview)
    context_map = _Threaded(Memory.context_map)
    timeline = _Threaded(Memory.timeline)
    rates = _Threaded(Memory.rates)
    clusters = _Threaded(Memory.clusters)
    related_files = _Threaded(Memory.related_files)
    distrust = _Threaded(Memory.distrust)
    approve = _Threaded(Memory.approve)
    unjudge = _Threaded(Memory.unjudge)
    judgements = _Threaded(Memory.judgements)
    quarantine = _Threaded(Memory.quarantine)
    held = _Threaded(Memory.held)
    serve = _Threaded(Memory.serve)
    flush = _Threaded(Memory.flush)
    rebuild = _Threaded(Memory.rebuild)
    forget = _Threaded(Memory.forget)
    sql = _Threaded(Memory.sql)
    backup = _Threaded(Memory.backup)
    reembed = _Threaded(Memory.reembed)
    migrate = _Threaded(Memory.migrate)
    close = _Threaded(Memory.close)
