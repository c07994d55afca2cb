"""A second thread for what takes no turn of the interpreter, such as a search among vectors."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["Beside"]

T = TypeVar("T")


class Beside:
    """Makes one call at a time beside its caller; the thread ends with the object."""

    def __init__(self) -> None:
        self._free = threading.Lock()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._begun = False
        weakref.finalize(self, self._calls.put, None).atexit = False

    @contextmanager
    def calling(self, function: Callable[[], T]) -> Iterator[Callable[[], T]]:
        """Call ``function`` while the block runs, at least to its end; what is given tells its answer.

        Ask behind the block. Where the thread is busy, or there can be none, it is called only then.
        """
        if not self._free.acquire(blocking=False):
            yield function
            return
        try:
            if not self._begin():
                yield function
                return
            call = _Call(function)
            self._calls.put(call)
            try:
                yield call.answer
            finally:
                call.made.acquire()
        finally:
            self._free.release()

    def _begin(self) -> bool:
        if not self._begun:
            thread = threading.Thread(
                target=_work, args=[self._calls], name="whatworks-beside", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the process is ending
                return False
            self._begun = True
        return True


class _Call:
    def __init__(self, function: Callable[[], Any]) -> None:
        self.made = threading.Lock()  # held until it is
        self.made.acquire()
        self._function = function
        self._answer: Any = None
        self._error: BaseException | None = None

    def make(self) -> None:
        try:
            self._answer = self._function()
        except BaseException as error:  # noqa: BLE001 - told to whoever asks
            self._error = error
        finally:
            self.made.release()

    def answer(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._answer


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        call.make()
        del call  # and what it holds
