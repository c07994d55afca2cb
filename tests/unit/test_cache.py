from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from whatworks.cache import HotCache


def test_a_value_is_loaded_once() -> None:
    cache: HotCache[str, int] = HotCache(10)
    loads: list[list[str]] = []

    def load(keys: list[str]) -> dict[str, int]:
        loads.append(keys)
        return {key: len(key) for key in keys}

    assert cache.many(["a", "bb"], load) == {"a": 1, "bb": 2}
    assert cache.many(["bb", "ccc"], load) == {"bb": 2, "ccc": 3}
    assert loads == [["a", "bb"], ["ccc"]]
    assert cache.describe() == {"size": 3, "limit": 10, "hits": 1, "misses": 3}


def test_it_never_holds_more_than_its_limit() -> None:
    cache: HotCache[str, int] = HotCache(5)
    for start in range(0, 100, 7):
        cache.many([str(n) for n in range(start, start + 7)], lambda keys: dict.fromkeys(keys, 0))
        assert cache.describe()["size"] <= 5


def test_the_least_recently_used_value_goes_first() -> None:
    cache: HotCache[str, str] = HotCache(2)
    for key in ("a", "b", "a", "c"):
        cache.many([key], lambda keys: dict.fromkeys(keys, "old"))
    assert cache.many(["a", "b"], lambda keys: dict.fromkeys(keys, "new")) == {"a": "old", "b": "new"}


def test_an_unknown_key_is_absent_and_asked_again() -> None:
    cache: HotCache[str, int] = HotCache(5)
    assert cache.many(["nobody"], lambda _: {}) == {}
    assert cache.many(["nobody"], lambda _: {"nobody": 1}) == {"nobody": 1}


def test_a_value_that_was_invalidated_is_loaded_again() -> None:
    cache: HotCache[str, int] = HotCache(5)
    cache.many(["a", "b"], lambda keys: dict.fromkeys(keys, 1))
    cache.invalidate(["a", "unknown"])
    assert cache.many(["a", "b"], lambda keys: dict.fromkeys(keys, 2)) == {"a": 2, "b": 1}
    cache.clear()
    assert cache.many(["a", "b"], lambda keys: dict.fromkeys(keys, 3)) == {"a": 3, "b": 3}


def test_a_value_loaded_while_it_was_invalidated_is_not_kept() -> None:
    cache: HotCache[str, int] = HotCache(5)

    def load_slowly(_: list[str]) -> dict[str, int]:
        cache.invalidate(["a"])  # as another thread would, after this load has read
        return {"a": 1}

    assert cache.many(["a"], load_slowly) == {"a": 1}
    assert cache.many(["a"], lambda _: {"a": 2}) == {"a": 2}


def test_values_with_weights_are_kept_up_to_what_they_weigh_together() -> None:
    cache: HotCache[int, bytes] = HotCache(100, weigh=len)

    def kept(*keys: int) -> dict[int, bytes]:
        return cache.many(keys, lambda _: {})

    for key, size in ((0, 40), (1, 40), (2, 40)):
        cache.many([key], lambda _, key=key, size=size: {key: bytes([key]) * size})
    assert list(kept(0, 1, 2)) == [1, 2]
    cache.invalidate([2, 9])
    cache.many([3], lambda _: {3: b"3" * 50})
    assert (list(kept(1, 3)), cache.describe()["size"]) == ([1, 3], 90)
    cache.many([4], lambda _: {4: b"4" * 101})  # more than all
    assert (list(kept(1, 3, 4)), cache.describe()["size"]) == ([], 0)
    cache.many([5], lambda _: {5: b"5" * 100})
    assert list(kept(5)) == [5]
    cache.clear()
    assert cache.describe()["size"] == 0


def test_threads_never_see_a_value_older_than_the_last_invalidation() -> None:
    cache: HotCache[str, int] = HotCache(50)
    truth = dict.fromkeys("abcdefgh", 0)
    stale: list[tuple[int, int]] = []
    done = threading.Event()

    def write() -> None:
        for n in range(1, 2_000):
            key = "abcdefgh"[n % 8]
            truth[key] = n
            cache.invalidate([key])
        done.set()

    def read() -> None:
        while not done.is_set():
            for key in truth:
                before = truth[key]
                cache.many([key], lambda keys: {name: truth[name] for name in keys})
                # ``before`` may not be invalidated yet; what was true a round earlier is.
                found = cache.many([key], lambda keys: {name: truth[name] for name in keys})[key]
                if found < before - 8:
                    stale.append((found, before))

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(7)]
        pool.submit(write).result()
        for reader in readers:
            reader.result()
    assert stale == []
