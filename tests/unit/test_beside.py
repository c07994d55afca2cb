from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from whatworks.beside import Beside

IDENT = threading.get_ident


def test_it_is_called_in_one_other_thread_while_the_block_goes_on() -> None:
    beside, reached = Beside(), threading.Event()
    threads = set()
    for _ in range(3):
        reached.clear()

        def call() -> int:
            assert reached.wait(30)  # what the block does
            return IDENT()

        with beside.calling(call) as answer:
            reached.set()
        threads.add(answer())
    assert len(threads) == 1
    assert IDENT() not in threads


def test_an_error_is_told_when_the_answer_is_asked_for() -> None:
    beside = Beside()
    with beside.calling(lambda: 1 // 0) as answer:
        pass
    with pytest.raises(ZeroDivisionError):
        answer()
    with beside.calling(lambda: 7) as answer:
        pass
    assert answer() == 7


def test_what_the_block_raises_comes_first_and_waits_for_the_call() -> None:
    beside, done = Beside(), threading.Event()
    with pytest.raises(KeyboardInterrupt), beside.calling(lambda: (done.set(), 1 // 0)):
        raise KeyboardInterrupt
    assert done.is_set()
    with beside.calling(lambda: 7) as answer:
        pass
    assert answer() == 7


def test_calls_of_several_threads_wait_for_none_of_each_other() -> None:
    beside, together = Beside(), threading.Barrier(4)

    def caller(_: int) -> int:
        with beside.calling(lambda: together.wait(30)) as answer:
            pass
        return answer()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(caller, range(4))) == [0, 1, 2, 3]


def test_its_thread_ends_with_it() -> None:
    beside, threads = Beside(), list[threading.Thread]()
    with beside.calling(lambda: threads.append(threading.current_thread())):
        pass
    assert threads[0].is_alive()
    del beside
    gc.collect()
    threads[0].join(30)
    assert not threads[0].is_alive()
