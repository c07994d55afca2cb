from __future__ import annotations

import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatworks import ids
from whatworks.ids import content_id, uuid7


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = uuid.UUID(uuid7())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_ids_of_one_thread_sort_in_the_order_they_were_made() -> None:
    made = [uuid7() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_made_by_many_threads_are_all_different() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [
            name
            for part in pool.map(lambda _: [uuid7() for _ in range(500)], range(8))
            for name in part
        ]
    assert len(set(made)) == 4_000


FORK = """
import os
from whatworks import ids
ids._last = 1 << 80  # the same time in both
ids.uuid7()
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, ids.uuid7().encode())
    os._exit(0)
print(os.read(reader, 36).decode(), ids.uuid7())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_draws_ids_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    theirs, ours = done.stdout.split()
    assert theirs[:18] == ours[:18]
    assert theirs[18:] != ours[18:]


def test_ids_keep_their_order_when_the_clock_is_set_back(monkeypatch) -> None:
    before = uuid7()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_000_000)
    assert before < uuid7() < uuid7()


def test_an_id_begins_with_the_milliseconds_since_1970(monkeypatch) -> None:
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_700_000_000_123_000_000)
    assert uuid.UUID(uuid7()).int >> 80 == 1_700_000_000_123


def test_a_content_id_is_the_same_on_every_machine() -> None:
    # Stored in every journal: another value would make old contexts new ones.
    assert content_id("general", "try again") == "a90b3de362fdd3d7"


@given(st.lists(st.text(), min_size=1, max_size=3), st.lists(st.text(), min_size=1, max_size=3))
def test_content_ids_differ_when_the_parts_differ(one: list[str], other: list[str]) -> None:
    try:
        same = content_id(*one) == content_id(*other)
    except UnicodeEncodeError:
        return
    assert same == (one == other)


def test_content_ids_know_where_a_part_ends() -> None:
    assert content_id("ab", "c") != content_id("a", "bc")
