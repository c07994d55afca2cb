"""Whatever is asked by key: the lookup says what the tables say, or nothing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from support.log import NOW, STATE, Log, apply, event, fill_lookup, pattern, random_log, resolved
from whatworks.errors import StoreError
from whatworks.evidence import Evidence, cells, handful, inverted, lives, lookup, questions
from whatworks.evidence.changed import SELECTS
from whatworks.evidence.word_search import word_hits
from whatworks.text import word_key, words


@pytest.fixture(autouse=True)
def short_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lives that are longer than what is kept of them."""
    monkeypatch.setattr(lives, "KEPT", 4)


Open = Callable[[str], Evidence]
IDS = ["p0", *(f"p{n}" for n in range(1, 200))]


def rows_of(array: Any) -> list[Any] | None:
    return None if array is None else [row[:-1] for row in array.tolist()]


def held(evidence: Evidence) -> dict[str, list[Any]]:
    """All rows of the lookup, as it gives them."""
    found = evidence.lookup
    names = [row[1] for row in sorted(evidence.rows(SELECTS["records"]))]
    numbers = range(len(names))
    contexts = range(evidence.one("SELECT count(*) FROM context_rows")[0])
    both = found.patterns(names)
    days = [found.days(number) for number in numbers]
    rows: dict[str, Any] = {
        "patterns": None if both is None else [text for _, text in both],
        "records": found.records(numbers=numbers),
        "contexts": found.contexts(numbers=contexts),
        "cells": rows_of(found.cells_of_contexts([-1, *contexts])),
        "days": None if None in days else [row for part in days for row in part or ()],
    }
    words = [row[0] for row in evidence.rows("SELECT DISTINCT word FROM postings")]
    counts = found.word_counts([*words, 2**64 - 1, 7])
    postings = found.postings({word: counts[1][word] for word in words}) if counts else None
    if postings is not None:
        rows["postings"] = [(word, *row) for word, part in postings.items() for row in part.tolist()]
    if counts is not None:
        rows["patterns counted"], rows["words counted"] = [counts[0]], list(counts[1].items())
    return {name: sorted(part or [], key=str) for name, part in rows.items()}


def in_tables(evidence: Evidence) -> dict[str, list[Any]]:
    never = lookup.NEVER
    rows = {name: evidence.rows(query) for name, query in SELECTS.items()}
    rows["cells"] = [(*row[:5], never if row[5] is None else row[5]) for row in rows["cells"]]
    rows["postings"] = evidence.rows("SELECT word, pattern_no, times, words FROM postings")
    rows["patterns counted"] = [evidence.one("SELECT count(*) FROM pattern_rows")[0]]
    rows["words counted"] = evidence.rows("SELECT word, count(*) FROM postings GROUP BY word")
    rows["words counted"] += [(2**64 - 1, 0), (7, 0)]
    return {name: sorted(part, key=str) for name, part in rows.items()}


def answers(evidence: Evidence) -> dict[str, Any]:
    """What questions find that the lookup may answer."""
    contexts = [row[1] for row in evidence.rows(SELECTS["contexts"])]
    names = [row[1] for row in evidence.rows(SELECTS["records"])]
    numbers = {name: questions.number_of(evidence, name) for name in IDS}
    known = [number.number for number in numbers.values() if number is not None]
    return {
        "patterns": questions.patterns(evidence, names),
        "some": questions.patterns(evidence, IDS),
        "numbers": numbers,
        "known": questions.known_patterns(evidence, IDS),
        "counts": questions.counts(evidence),
        "texts": questions.context_texts(evidence, [*contexts, "nobody"]),
        "days": [questions.days(evidence, number, None) for number in known],
        "neighbours": cells.neighbours(evidence, contexts, None),
        "first neighbours": [
            cells.neighbours(evidence, contexts[::-1], None, pairs=pairs, at_once=at_once)
            for pairs in (1, 3, 12)
            for at_once in (1, 2, 50)
        ],
        "records": sorted(cells.records(evidence, numbers=known[:5], ids=IDS, as_of=None)),
        "lives": {
            number: [column.tolist() for column in life]
            for number, life in cells.lives(evidence, known, None).items()
        },
        "words": [word_hits(evidence, query, None, 9) for query in ("try again", "other words wait")],
        "names": cells.context_ids(evidence, range(len(contexts))),
    }


def folded_in_parts(evidence: Evidence, log: Log, random: Random) -> None:
    while log:
        size = random.choice([1, 3, 20, 60])
        apply(evidence, log[:size])
        log = log[size:]


@pytest.mark.parametrize("seed", range(8))
def test_it_holds_the_rows_of_the_tables_after_every_fold(evidence: Evidence, seed: int) -> None:
    random = Random(seed)
    log = random_log(random, 200)
    for _ in range(8):
        folded_in_parts(evidence, log[:25], random)
        log = log[25:]
        assert held(evidence) == in_tables(evidence)
        assert evidence.lookup.whole


@pytest.mark.parametrize("seed", range(8))
def test_questions_are_answered_as_by_the_tables(evidence: Evidence, seed: int) -> None:
    random = Random(seed)
    folded_in_parts(evidence, random_log(random, 200), random)
    assert evidence.lookup.whole
    by_lookup = answers(evidence)
    evidence.lookup.close()
    by_tables = answers(evidence)
    for name, expected in by_tables.items():
        assert by_lookup[name] == expected, name


def test_what_is_folded_while_it_is_filled_is_in_it(open_evidence: Open) -> None:
    evidence = open_evidence("evidence")
    evidence.lookup.close()
    apply(evidence, random_log(Random(1), 60))
    more = iter([pattern("late"), event("x", "late", 1.0, context="here"), resolved("x", 0.0)])

    def stopped() -> bool:  # asked between the steps of filling
        for item in more:
            apply(evidence, [item])
            break
        return False

    assert evidence.fill_lookup(threading.RLock(), stopped)
    assert next(more, None) is None
    assert evidence.lookup.whole
    assert held(evidence) == in_tables(evidence)


def test_filling_that_is_stopped_leaves_the_tables_to_answer(evidence: Evidence) -> None:
    apply(evidence, random_log(Random(2), 30))
    evidence.lookup.close()
    assert not evidence.fill_lookup(threading.RLock(), lambda: True)
    assert not evidence.lookup.whole
    assert questions.patterns(evidence, ["p0"])
    fill_lookup(evidence)
    assert held(evidence) == in_tables(evidence)


def test_it_is_used_again_only_with_the_state_of_the_tables_that_it_holds(evidence: Evidence) -> None:
    apply(evidence, [pattern("p")])
    for state, whole in ((STATE, True), ((1, 2, 4), False), ((9, 2, 3), False), (STATE, True)):
        evidence.lookup.open(state)
        assert evidence.lookup.whole is whole


def test_a_file_of_another_version_is_not_used(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(evidence, [pattern("p")])
    monkeypatch.setattr(lookup, "VERSION", lookup.VERSION + 1)
    evidence.lookup.open(STATE)
    assert not evidence.lookup.whole


def test_the_file_is_the_owners_alone(evidence: Evidence) -> None:
    apply(evidence, [pattern("p")])
    files = list(evidence._path.parent.glob("*.lookup*"))
    assert len(files) >= 1
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


# -- damage ----------------------------------------------------------------------------------------

DAMAGE = [
    "UPDATE patterns SET description = 'other words'",
    "UPDATE patterns SET pattern_no = 77 WHERE pattern_no = 0",
    "UPDATE records SET body = zeroblob(length(body))",
    "UPDATE records SET body = x'00'",
    "UPDATE records SET pattern_id = 'p' || pattern_id",
    "UPDATE records SET pattern_no = pattern_no + 100",
    "UPDATE contexts SET text = 'elsewhere'",
    "UPDATE contexts SET context_id = context_id || 'x'",
    "UPDATE cells SET body = zeroblob(40)",
    "UPDATE cells SET body = substr(body, 1, 32)",
    "UPDATE cells SET body = x'01' || substr(body, 2) WHERE pattern_no = 0",
    "UPDATE cells SET context_no = context_no + 100",
    "UPDATE cells_of_contexts SET count = count + 1",
    "UPDATE lives SET count = count + 1",
    "UPDATE lives SET body = zeroblob(length(body))",
    "UPDATE lives SET pattern_no = pattern_no + 1000",
    "DELETE FROM lives",
    "UPDATE days SET day = day + 1, pattern_no = pattern_no + 1000",
    "UPDATE days_of_patterns SET number = number + 1000",
    "DELETE FROM patterns",
    "DELETE FROM records",
    "DELETE FROM contexts",
    "DELETE FROM cells",
    "DELETE FROM cells_of_contexts",
    "DELETE FROM days",
    "UPDATE postings SET part = part + 1",
    "UPDATE postings SET word = word + 1",
    "UPDATE postings SET body = zeroblob(length(body))",
    "DELETE FROM postings",
    "DELETE FROM words",
    "UPDATE words SET body = (SELECT min(body) FROM words)",
    "UPDATE words SET body = (SELECT body FROM words WHERE bucket = -1) WHERE bucket >= 0",
    "UPDATE events SET value = value + 1",
    "DELETE FROM events WHERE name = 'first'",
    "DELETE FROM events",
    "DROP TABLE cells",
    "DROP TABLE records",
]


@pytest.mark.parametrize("statement", DAMAGE)
def test_damage_is_noticed_and_the_tables_answer(evidence: Evidence, statement: str) -> None:
    apply(evidence, random_log(Random(3), 150))
    evidence.lookup.close()
    expected = answers(evidence)
    fill_lookup(evidence)
    with closing(sqlite3.connect(f"{evidence._path}.lookup")) as con, con:
        con.execute(statement)
    assert answers(evidence) == expected
    assert not evidence.lookup.whole
    assert evidence.lookup.trouble
    fill_lookup(evidence)
    assert evidence.lookup.trouble is None
    assert held(evidence) == in_tables(evidence)


def test_a_damaged_file_does_not_open(evidence: Evidence) -> None:
    apply(evidence, [pattern("p")])
    evidence.lookup.close()
    Path(f"{evidence._path}.lookup").write_bytes(b"no database" * 1_000)
    evidence.lookup.open(STATE)
    assert not evidence.lookup.whole
    assert list(questions.patterns(evidence, ["p"])) == ["p"]
    fill_lookup(evidence)
    assert held(evidence) == in_tables(evidence)


def test_flipped_bytes_never_change_an_answer(evidence: Evidence) -> None:
    apply(evidence, random_log(Random(4), 150))
    evidence.lookup.close()
    expected, random = answers(evidence), Random(5)
    fill_lookup(evidence)
    evidence.lookup.close()
    path = Path(f"{evidence._path}.lookup")
    good, noticed = path.read_bytes(), 0
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(random.choice([1, 1, 4, 64])):
            bad[random.randrange(len(bad))] ^= 1 << random.randrange(8)
        path.write_bytes(bad)
        evidence.lookup.open((evidence.build, 0, 0))
        assert answers(evidence) == expected
        noticed += not evidence.lookup.whole
        evidence.lookup.close()
    assert noticed > 10  # else nothing was damaged


def test_an_unknown_id_is_no_damage(evidence: Evidence) -> None:
    apply(evidence, [pattern("p"), event("e", "p", 1.0, context="here", timestamp=NOW)])
    assert questions.number_of(evidence, "nobody") is None
    assert set(questions.patterns(evidence, ["p", "nobody"])) == {"p"}
    assert evidence.lookup.whole


def test_a_lookup_that_cannot_be_written_is_given_up_and_the_fold_goes_on(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(evidence, [pattern("p")])
    with closing(sqlite3.connect(f"{evidence._path}.lookup")) as con, con:
        con.execute("DROP TABLE days")
    monkeypatch.setattr(handful, "RECORDS", 0)
    apply(evidence, [event("e", "p", 1.0)])
    assert not evidence.lookup.whole
    assert questions.patterns(evidence, ["p"])["p"].usage_count == 1


def test_an_error_of_the_tables_while_it_is_filled_leaves_them_to_answer(evidence: Evidence) -> None:
    apply(evidence, [pattern("p"), event("e", "p", 1.0)])
    evidence.lookup.close()

    def stopped() -> bool:
        raise StoreError("the tables cannot be read")

    assert not evidence.fill_lookup(threading.RLock(), stopped)
    apply(evidence, [event("f", "p", 1.0)])  # nobody keeps it for a file that is not filled
    assert (evidence.lookup.trouble, evidence.lookup.wanted) == ("the tables cannot be read", False)
    fill_lookup(evidence)
    assert held(evidence) == in_tables(evidence)
    assert evidence.lookup.trouble is None


def test_much_that_is_told_while_nobody_asks_is_filled_in_later(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MANY", 20)
    monkeypatch.setattr(lookup, "UNASKED", 150)
    monkeypatch.setattr(lookup, "UNASKED_SHARE", 0.0)
    few, many = [event(f"few {n}", "p", 1.0) for n in range(200)], range(60)
    apply(evidence, [pattern("p")])
    for item in few:  # one by one they may be as many as they like
        apply(evidence, [item])
    for batch in range(6):
        apply(evidence, [event(f"{batch} {n}", "p", 1.0, context=f"{n}") for n in many])
        if batch < 3:
            assert evidence.lookup.whole
            assert evidence.lookup.records(ids=["p"])
        else:  # asked by the keeper itself
            assert evidence.lookup.numbers(["p"]) in ([0], None)
    assert not evidence.lookup.wanted
    assert evidence.lookup.trouble is None
    fill_lookup(evidence)
    assert held(evidence) == in_tables(evidence)


def test_postings_that_came_after_they_were_counted_are_no_damage(open_evidence: Open) -> None:
    evidence = open_evidence("store")
    apply(evidence, [pattern("a", "pin versions")])
    fill_lookup(evidence)
    (word,) = {word_key(word) for word in words("versions")}
    _, counted = evidence.lookup.word_counts([word]) or (0, {})
    apply(evidence, [pattern("b", "other versions")])
    found = evidence.lookup.postings(counted)
    assert found is not None
    assert found[word]["pattern"].tolist() == [0, 1]
    assert evidence.lookup.whole


def test_postings_that_were_kept_before_others_came_are_no_damage(open_evidence: Open) -> None:
    evidence = open_evidence("store")
    apply(evidence, [pattern("a", "pin versions")])
    fill_lookup(evidence)
    (word,) = {word_key(word) for word in words("versions")}
    kept = inverted.Kept()
    con = sqlite3.connect(evidence.lookup._path)
    _, counted = inverted.counts(con, [word], kept)
    assert inverted.postings(con, counted, kept)[word]["pattern"].tolist() == [0]
    apply(evidence, [pattern("b", "other versions")])
    kept.counts.clear()  # as if others had taken its place, before this one is told of the change
    _, counted = inverted.counts(con, [word], kept)
    assert inverted.postings(con, counted, kept)[word]["pattern"].tolist() == [0, 1]
    con.close()


def test_a_word_that_moves_to_another_pattern_is_found_there(open_evidence: Open) -> None:
    evidence = open_evidence("store")
    apply(evidence, [pattern("a", "pin versions"), pattern("b", "wait")])
    fill_lookup(evidence)
    assert word_hits(evidence, "versions", None, 9) == ["a"]
    apply(evidence, [pattern("a", "wait"), pattern("b", "pin versions")])
    assert evidence.lookup.whole
    assert word_hits(evidence, "versions", None, 9) == ["b"]


def test_the_bytes_of_a_word_within_other_numbers_are_not_that_word() -> None:
    within = np.array([(0x0707070707070700, 0x07), (9, 3)], inverted._COUNT).tobytes()
    word = 0x0707070707070707
    assert word.to_bytes(8, "little") in within
    assert inverted._count(within, word) == 0
    assert inverted._count(within + np.array([(word, 5)], inverted._COUNT).tobytes(), word) == 5
