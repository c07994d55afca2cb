"""NumPy's threads, kept from small work.

Systems of 256 equations are solved no faster by two threads than by one, and
the threads then spin for milliseconds, in which nothing else gets the core.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["one_thread"]

_limited = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra of this process in one thread as long as it lasts.

    The limit is the whole process's. While one thread holds it, others leave it
    alone: whoever comes second would take the limit for what was there before.
    """
    if not _limited.acquire(blocking=False):
        yield
        return
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        _limited.release()


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # it looks through all libraries that are loaded
