from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatworks import Memory, NewEvent, Prior, reasons
from whatworks.records import Contribution

EFFECTS = st.dictionaries(st.integers(0, 9), st.floats(-0.2, 0.2), max_size=8)


def made(name: str, base: float, effects: dict[int, float]) -> dict[str, Any]:
    raw = base + sum(effects.values())
    return {
        "pattern_id": name,
        "raw": raw,
        "expected": min(max(raw, 0.01), 0.99),
        "effects": [[j, value] for j, value in effects.items()],
    }


# -- what would turn the order ------------------------------------------------------------------


@given(st.floats(0.4, 0.6), EFFECTS, st.floats(0.4, 0.6), EFFECTS)
def test_the_fewest_cells_turn_the_order_or_none_do(
    base: float, up: dict[int, float], other: float, down: dict[int, float]
) -> None:
    one, two = made("one", base, up), made("two", other, down)
    if one["raw"] < two["raw"]:
        one, two, up, down = two, one, down, up
    found = reasons.turn([one, two], one["pattern_id"])
    assert found is not None

    def ahead(taken: Any) -> float:
        values = (
            item["raw"] - sum(effects.get(j, 0.0) for j in taken)
            for item, effects in ((one, up), (two, down))
        )
        best, rest = (min(max(value, 0.01), 0.99) for value in values)
        return best - rest

    taken = [j for j, _ in found.cells]
    assert found.margin == pytest.approx(ahead([]), abs=1e-12)
    assert found.left == pytest.approx(max(ahead(taken), found.left), abs=1e-12)
    assert [value for _, value in found.cells] == sorted((v for _, v in found.cells), reverse=True)
    if found.left < 0:
        assert ahead(taken) < 0
        fewer = combinations(up.keys() | down.keys(), len(taken) - 1) if taken else ()
        assert all(ahead(subset) > -1e-9 for subset in fewer)
    else:
        assert ahead([j for j in up.keys() | down.keys() if up.get(j, 0) > down.get(j, 0)]) > -1e-9


def test_the_first_is_compared_with_the_second_and_others_with_the_one_above() -> None:
    answers = [made("a", 0.8, {}), made("b", 0.6, {}), made("c", 0.5, {})]
    others = [reasons.turn(answers, name) for name in "abc"]
    assert [item and item.other_id for item in others] == ["b", "a", "b"]
    assert [item and round(item.left, 9) for item in others] == [0.2, 0.2, 0.1]


def test_patterns_are_compared_by_their_estimates_not_by_their_places() -> None:
    """An answer that is shown first to try it out may have the lower estimate."""
    answers = [made("tried out", 0.4, {}), made("best", 0.6, {1: 0.3})]
    found = reasons.turn(answers, "best")
    assert found is not None
    assert (found.other_id, found.margin) == ("tried out", pytest.approx(0.5))


def test_a_cell_that_lifts_both_turns_nothing() -> None:
    found = reasons.turn([made("a", 0.5, {1: 0.1, 2: 0.05}), made("b", 0.5, {1: 0.1})], "a")
    assert found is not None
    assert [j for j, _ in found.cells] == [2]
    assert found.left == pytest.approx(0.0)


def test_a_pattern_alone_has_nobody_to_change_places_with() -> None:
    assert reasons.turn([made("a", 0.5, {1: 0.1})], "a") is None


# -- what speaks against --------------------------------------------------------------------------


def test_what_pulls_back_to_the_average_speaks_against() -> None:
    parts = [
        Contribution("population", 0.4, 15),
        Contribution("tries", 0.2, 1),
        Contribution("situation", -0.1, 1),
        Contribution("rest", -0.09, 4),
        Contribution("tries", -0.05, 1),
    ]
    assert [part.value for part in reasons.against(parts, 0.7, 0.5)] == [-0.1, -0.05]
    assert [part.value for part in reasons.against(parts, 0.3, 0.5)] == [0.2]
    assert reasons.against(parts, 0.5, 0.5) == ()


# -- in a memory ------------------------------------------------------------------------------------


def filled(memory: Memory) -> None:
    memory.add_patterns([{"description": n, "pattern_id": n} for n in ("good", "poor", "told")])
    memory.record_many(
        NewEvent(name, outcome=float((n % 5 > 0) == (name == "good")), context=f"build broke {n}")
        for name in ("good", "poor")
        for n in range(15)
    )
    memory.add_priors([Prior("told", 0.9, 40, "files")])


def test_why_shows_the_counter_evidence_and_what_would_turn_the_order(memory: Memory) -> None:
    filled(memory)
    why = memory.why(memory.predict("build broke 3").prediction_id)
    good = next(item for item in why.explanations if item.pattern_id == "good")
    assert good.expected > why.prediction.default
    assert good.against
    assert all(part.value < 0 and part.context for part in good.against)
    assert all(part in good.contributions for part in good.against)
    poor = next(item for item in why.explanations if item.pattern_id == "poor")
    assert poor.expected < why.prediction.default
    assert all(part.value > 0 for part in poor.against)
    for item in why.explanations:
        assert (item.flip is None) != (item.remains is None)
        if item.flip:
            assert item.flip.left < 0 <= item.flip.margin
            taken = sum(part.value for part in item.flip.take_away)
            assert item.flip.margin - taken == pytest.approx(item.flip.left)


def test_imported_aggregates_are_marked_in_why(memory: Memory) -> None:
    filled(memory)
    why = memory.why(memory.predict("build broke 3").prediction_id)
    told = next(item for item in why.explanations if item.pattern_id == "told")
    (prior,) = [part for part in told.contributions if part.kind == "prior"]
    assert (prior.tries, prior.mean_outcome) == (5.0, pytest.approx(0.9))


def test_a_single_near_try_that_makes_the_order_is_named(memory: Memory) -> None:
    memory.add_patterns([{"description": n, "pattern_id": n} for n in "ab"])
    memory.record_many(
        NewEvent(name, outcome=n % 2, context=f"far away {n}") for name in "ab" for n in range(10)
    )
    memory.record("a", outcome=1.0, context="the very question")
    made = memory.predict("the very question")
    assert made.answers[0].pattern_id == "a"
    first, second = memory.why(made.prediction_id).explanations
    for item in (first, second):
        assert item.flip is not None
        assert item.flip.take_away[0].context == "the very question"
    assert first.flip is not None and second.flip is not None
    assert first.flip.take_away[0].kind == "tries"
    assert second.flip.take_away[0].kind == "situation"


def test_relevance_stands_beside_and_is_never_mixed_in(memory: Memory) -> None:
    filled(memory)
    why = memory.why(memory.predict("build broke 3").prediction_id)
    for item in why.explanations:
        assert sum(part.value for part in item.contributions) == pytest.approx(item.expected, abs=1e-9)
        for part in item.contributions:
            assert (part.similarity is None) == (part.kind not in ("tries", "situation"))


def test_receipts_of_earlier_versions_are_explained_too(memory: Memory) -> None:
    """Without counts of outcomes; with all that the sums need."""
    filled(memory)
    made = memory.predict("build broke 3")
    import orjson

    evidence = memory._keeper.evidence(receipts=True)
    ((text,),) = evidence.rows("SELECT receipt FROM prediction_rows")
    old = orjson.loads(text)
    for answer in old["answers"]:
        for name in ("resolved", "missing", "coverage", "bounds"):
            del answer[name]
    old["prediction_id"] = "old"
    keeper = memory._keeper
    keeper.note_down("prediction.made", old, keeper.holds)
    why = memory.why("old")
    assert why.explanations == memory.why(made.prediction_id).explanations
    assert why.prediction.answers[0].coverage is None
