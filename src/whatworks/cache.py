"""The hot cache: what was asked for last, bounded, shared by threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

__all__ = ["HotCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class HotCache(Generic[K, V]):
    """The most recently used values by key, with a count of hits and misses.

    Parameters
    ----------
    size
        How many values it holds, or with ``weigh`` how much together.
    weigh
        What one of them weighs, such as its bytes; the same each time.
    """

    def __init__(self, size: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()  # what was used last is at the end
        self._size = size
        self._weigh = weigh
        self._held = 0
        self._lock = threading.Lock()
        self._version = 0
        self.hits = 0
        self.misses = 0

    def many(self, keys: Sequence[K], load: Callable[[list[K]], dict[K, V]]) -> dict[K, V]:
        """The values of ``keys``; those missing here come from one call of ``load``.

        Keys that ``load`` does not know are absent. A value loaded while
        another thread invalidates is returned, not kept.
        """
        with self._lock:
            found = {key: self._values[key] for key in keys if key in self._values}
            for key in found:
                self._values.move_to_end(key)
            missing = [key for key in keys if key not in found]
            self.hits += len(found)
            self.misses += len(missing)
            version = self._version
        if missing:
            loaded = load(missing)
            with self._lock:
                if version == self._version:
                    self._keep(loaded)
            found |= loaded
        return found

    def _keep(self, loaded: dict[K, V]) -> None:
        for key, value in loaded.items():
            self._drop(key)
            self._values[key] = value
            self._held += self._weigh(value)
        while self._held > self._size:
            self._held -= self._weigh(self._values.popitem(last=False)[1])

    def _drop(self, key: K) -> None:
        if key in self._values:
            self._held -= self._weigh(self._values.pop(key))

    def invalidate(self, keys: Iterable[K]) -> None:
        """Forget the values of ``keys``."""
        with self._lock:
            self._version += 1
            for key in keys:
                self._drop(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._version += 1
            self._values.clear()
            self._held = 0

    def describe(self) -> dict[str, int]:
        """Numbers for ``stats``."""
        with self._lock:
            return {
                "size": self._held,
                "limit": self._size,
                "hits": self.hits,
                "misses": self.misses,
            }
