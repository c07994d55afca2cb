"""The threads of linear algebra are as they were, once nobody needs it otherwise."""

from __future__ import annotations

import threading

import pytest
from threadpoolctl import threadpool_info

from whatworks.blas import one_thread


def threads() -> list[int]:
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def test_it_is_one_while_it_is_asked_for_and_then_as_before() -> None:
    before = threads()
    assert before
    with pytest.raises(KeyError), one_thread():
        assert threads() == [1 for _ in before]
        raise KeyError
    assert threads() == before


def test_who_comes_second_does_not_keep_the_limit_of_the_first() -> None:
    before, entered, leave = threads(), threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            entered.set()
            leave.wait(10)

    with one_thread():
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(10)
    assert threads() == before
    leave.set()
    thread.join()
    assert threads() == before
