from __future__ import annotations

import math

import pytest

from support.log import NOW, apply, pattern
from whatworks import checks
from whatworks.evidence import Evidence, word_search
from whatworks.evidence.word_search import word_hits
from whatworks.redaction import UNKEYED
from whatworks.text import words


def bm25(texts: dict[str, str], query: str) -> list[str]:
    """Names of the texts that share words with ``query``, best first."""
    counted = {name: words(text) for name, text in texts.items()}
    found = {name: own for name, own in counted.items() if own.keys() & words(query).keys()}
    mean = sum(
        sum(own[w] * 0 + sum(own.values()) for w in own if w in words(query)) for own in found.values()
    )
    mean /= max(sum(len(own.keys() & words(query).keys()) for own in found.values()), 1)
    scores = {}
    for name, own in found.items():
        score = 0.0
        for word in own.keys() & words(query).keys():
            holders = sum(word in other for other in counted.values())
            idf = math.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
            length = sum(own.values()) / mean
            score += idf * own[word] * 2.2 / (own[word] + 1.2 * (0.25 + 0.75 * length))
        scores[name] = score
    return sorted(scores, key=lambda name: (-round(scores[name], 9), name))


TEXTS = {
    "imports": "Run cargo check, fix the imports that it names, run it again",
    "cache": "Delete the build cache and build again",
    "lock": "Delete the lock file",
    "parser": "Look at src/parser.rs when E0432 is shown",
    "twice": "again again again",
    "empty": "!?",
}


@pytest.mark.parametrize(
    "query",
    [
        "delete the cache",
        "AGAIN",
        "e0432",
        "src/parser.rs",
        "parser",
        "the it that",
        "again and again",
        "run imports",
    ],
)
@pytest.mark.parametrize("dense", [0, word_search.DENSE])
def test_words_are_ranked_by_bm25(
    evidence: Evidence, query: str, dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_search, "DENSE", dense)
    apply(evidence, [pattern(name, text) for name, text in TEXTS.items()])
    assert word_hits(evidence, query, None, 10) == bm25(TEXTS, query)


def test_a_rare_word_outweighs_a_common_one(evidence: Evidence) -> None:
    apply(
        evidence,
        [pattern(f"p{n}", f"retry number{n}") for n in range(9)] + [pattern("z", "retry E0432")],
    )
    assert word_hits(evidence, "retry E0432", None, 3)[0] == "z"


@pytest.mark.parametrize("query", ["", "?!", "nowhere", "' OR 1=1 --", "💥"])
def test_words_that_no_description_has_find_nothing(evidence: Evidence, query: str) -> None:
    apply(evidence, [pattern(name, text) for name, text in TEXTS.items()])
    assert word_hits(evidence, query, None, 10) == []


def test_words_are_sought_among_the_patterns_that_fulfil_the_conditions(evidence: Evidence) -> None:
    apply(evidence, [pattern(n, "retry", pattern_type=n) for n in ("a", "b", "c")])
    where = checks.where({"pattern_type": ["b", "c"]}, NOW, UNKEYED)
    assert word_hits(evidence, "retry", where, 10) == ["b", "c"]
    assert word_hits(evidence, "retry", None, 2) == ["a", "b"]


def test_a_word_that_most_descriptions_have_is_left_out_where_rarer_ones_find_enough(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(evidence, [pattern(f"p{n}", f"retry number{n}") for n in range(9)] + [pattern("z", "E0432")])
    assert len(word_hits(evidence, "retry E0432", None, 20)) == 10
    monkeypatch.setattr(word_search, "BUDGET", 5)
    assert word_hits(evidence, "retry E0432", None, 20) == ["z"]
    assert len(word_hits(evidence, "retry", None, 20)) == 9, "the rarest word is always looked for"


def test_patterns_of_one_score_come_in_the_order_of_their_ids_however_few_are_asked_for(
    evidence: Evidence,
) -> None:
    apply(evidence, [pattern(f"p{n:03}", "retry") for n in reversed(range(100))])
    everything = word_hits(evidence, "retry", None, 100)
    assert everything == sorted(everything) and len(everything) == 100
    assert word_hits(evidence, "retry", None, 3) == everything[:3]


def test_what_fulfils_a_condition_is_found_behind_many_better_ones_that_do_not(
    evidence: Evidence,
) -> None:
    better = [pattern(f"p{n}", "retry", pattern_type="no") for n in range(50)]
    apply(evidence, [*better, pattern("z", "retry some other thing", pattern_type="yes")])
    where = checks.where({"pattern_type": ["yes"]}, NOW, UNKEYED)
    assert word_hits(evidence, "retry", where, 2) == ["z"]


def test_words_of_changed_descriptions_are_found_with_and_without_the_lookup(
    evidence: Evidence,
) -> None:
    texts = {**TEXTS, **{f"p{n}": f"retry number {n % 7} of the cache" for n in range(40)}}
    apply(evidence, [pattern(name, text) for name, text in texts.items()])
    changed = {"lock": "Delete the cache instead", "new": "again", "p3": "delete delete", "p4": "!"}
    texts |= changed
    apply(evidence, [pattern(name, text) for name, text in changed.items()])
    asked = ["delete the cache", "again", "retry number 3", "nowhere", "lock file"]
    expected = [bm25(texts, query) for query in asked]
    assert evidence.lookup.whole
    assert [word_hits(evidence, query, None, 50) for query in asked] == expected
    evidence.lookup.close()
    assert [word_hits(evidence, query, None, 50) for query in asked] == expected


def test_words_that_go_between_being_counted_and_read_find_nothing(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(evidence, [pattern("a", "pin versions"), pattern("b", "wait")])
    evidence.lookup.close()  # so that the tables answer
    counts = word_search._counts
    monkeypatch.setattr(
        word_search,
        "_counts",
        lambda evidence, keys: (2, dict.fromkeys(keys, 1) | counts(evidence, keys)[1]),
    )
    assert word_hits(evidence, "gone", None, 5) == []
    assert word_hits(evidence, "gone versions", None, 5) == ["a"]
