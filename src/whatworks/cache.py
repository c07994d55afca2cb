"""The hot cache: active patterns and recent query embeddings, bounded, shared by threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

__all__ = ["HotCache"]

V = TypeVar("V")


class HotCache(Generic[V]):
    """The most recently used ``size`` values by key, with a count of hits and misses."""

    def __init__(self, size: int) -> None:
        self._values: OrderedDict[str, V] = OrderedDict()  # what was used last is at the end
        self._size = size
        self._lock = threading.Lock()
        self._version = 0
        self.hits = 0
        self.misses = 0

    def many(self, keys: Sequence[str], load: Callable[[list[str]], dict[str, V]]) -> dict[str, V]:
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

    def _keep(self, loaded: dict[str, V]) -> None:
        self._values |= loaded
        while len(self._values) > self._size:
            self._values.popitem(last=False)

    def invalidate(self, keys: Iterable[str]) -> None:
        """Forget the values of ``keys``."""
        with self._lock:
            self._version += 1
            for key in keys:
                self._values.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._version += 1
            self._values.clear()

    def describe(self) -> dict[str, int]:
        """Numbers for ``stats``."""
        with self._lock:
            return {
                "size": len(self._values),
                "limit": self._size,
                "hits": self.hits,
                "misses": self.misses,
            }
