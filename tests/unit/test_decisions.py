"""The scripts that prove predictions: intervals, tables, goals and pages, on made-up scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.decisions import changes, goals, harness, page, resampling, rivals, simulated, tables
from benchmarks.decisions.pictures import spread
from benchmarks.decisions.worlds import KINDS, World

ROOT = Path(__file__).parents[2]


def scored(task: str = "one", seed: int = 0, shift: float = 0.0, **more: Any) -> dict[str, Any]:
    """A row of the harness, for 60 of 100 contexts."""
    random = np.random.default_rng([len(task), seed])
    contexts = random.permutation(100)[:60]
    scores = {
        "brier": random.uniform(0.1, 0.3, 60) + shift,
        "top1": random.uniform(0.3, 0.7, 60),
        "const": random.uniform(0.2, 0.3, 60),
        "random": np.full(60, 0.2),
        "oracle": np.full(60, 0.9),
    }
    means = {name: values.mean() for name, values in scores.items()}
    row = {
        "task": task,
        "seed": seed,
        "n": 1_000,
        "policy": "uniform",
        "context": contexts.tolist(),
        "per_context": {name: values.tolist() for name, values in scores.items()},
        "skill": 1 - means["brier"] / means["const"],
        "gain": (means["top1"] - 0.2) / 0.7,
        "brier": means["brier"],
        "brier_const": means["const"],
        "ece": 0.03,
        "cover": 1.0,
        "predict_ms": 2.0,
    }
    return row | more


def figures(**more: Any) -> tables.Figures:
    ours = {"offline": [scored()], "robust": [], "online": []}
    return tables.Figures(ours, [], [], [], [], {})._replace(**more)


# ------------------------------------------------------------------ bootstrap
@pytest.mark.parametrize("name", ["skill", "gain", "brier"])
def test_an_interval_is_around_the_figure_that_the_harness_gives(name: str) -> None:
    rows = [scored(task, seed) for task in ("one", "other") for seed in range(3)]
    found = resampling.interval(rows, getattr(resampling, name))
    assert found.value == pytest.approx(resampling.mean_of(rows, name), abs=1e-12)
    assert found.low < found.value < found.high


def test_an_interval_is_as_wide_as_the_spread_of_contexts_says() -> None:
    row = scored()
    found = resampling.interval([row], resampling.brier, draws=4_000)
    error = np.std(row["per_context"]["brier"]) / np.sqrt(60)
    # The standard error of a quantile of 4,000 draws is about 2 % of the width.
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_a_context_of_several_seeds_is_drawn_once() -> None:
    row = scored()
    twice = [row, row | {"seed": 1}]
    once, both = (resampling.interval(rows, resampling.brier) for rows in ([row], twice))
    assert both == pytest.approx(once)  # asking again about the same contexts tells nothing new


def test_a_paired_difference_is_exact_where_all_contexts_differ_by_as_much() -> None:
    ours, theirs = [scored()], [scored(shift=0.05)]
    found = resampling.difference(ours, theirs, resampling.brier)
    assert found == pytest.approx((-0.05, -0.05, -0.05))


def test_the_same_scores_give_the_same_interval_in_every_run() -> None:
    rows = [scored("one"), scored("other")]
    again = [scored("other"), scored("one")]
    assert resampling.interval(rows, resampling.skill) == resampling.interval(again, resampling.skill)


# ------------------------------------------------------------------ rows
def test_predictions_are_counted_in_the_bin_they_fall_into() -> None:
    said, came = np.array([[0.0, 0.05, 1.0, np.nan]]), np.array([[1.0, 0.0, 0.5, 1.0]])
    bins = harness.reliability(said, came)
    assert bins[0] == [2, 0.05, 1.0]
    assert bins[9] == [1, 1.0, 0.5]
    assert sum(count for count, _, _ in bins) == 3  # what was not answered is in no bin


def test_the_mean_of_a_context_s_constant_errors_is_that_over_all_answers() -> None:
    came = np.array([[1.0, 0.0, np.nan], [0.5, 0.25, 1.0]])
    made = harness._references(came, 0.4)
    assert np.mean(made["const"]) == pytest.approx(np.nanmean((came - 0.4) ** 2), abs=1e-5)
    assert made["oracle"] == [1.0, 1.0]


def test_a_rival_s_file_has_scores_but_no_contexts() -> None:
    row = scored(reliability=[[0, 0, 0]] * 10, text="a text", ref={}, per_context_more=[1])
    kept = rivals.slim("KernelBeta", {"offline": [row]})["offline"][0]
    assert set(kept) == {*rivals.FIGURES, "reliability", "brier_const", "per_context"}
    assert set(kept["per_context"]) == {"brier", "top1"}
    assert "per_context" not in rivals.slim("MAB", {"offline": [row]})["offline"][0]


def test_a_rival_is_paired_with_the_same_log_only() -> None:
    row = scored(reliability=[[0, 0, 0]] * 10)
    kept = rivals.slim("KernelBeta", {"offline": [row]})["offline"]
    ours, theirs = rivals.comparable([scored(), scored(seed=1)], kept)
    assert [other["context"] for other in theirs] == [row["context"]]
    assert len(ours) == 1
    with pytest.raises(SystemExit, match="made from other logs"):
        rivals.comparable([scored(brier_const=0.1)], kept)


def test_the_rivals_file_names_rivals_that_are_known() -> None:
    known = {rival.name: set(rival.suites) for rival in rivals.RIVALS}
    for name, scores in rivals.load().items():
        assert set(scores) == known[name]


# ------------------------------------------------------------------ goals
@pytest.mark.parametrize(
    ("measured", "met"), [(0.0546, True), (0.0544, False), (0.2, True), (float("nan"), None)]
)
def test_the_reference_is_matched_at_the_digits_it_is_given_with(
    measured: float, met: bool | None
) -> None:
    assert goals.against_reference("uniform", "skill", 1_000, measured) is met


def test_a_lower_calibration_error_is_the_better_one() -> None:
    assert goals.against_reference("biased", "ece", 1_000, 0.04)
    assert goals.against_reference("biased", "ece", 1_000, 0.06) is False


def test_a_miss_is_printed_as_a_miss() -> None:
    lines = tables.parts(figures())["goals"]
    ece, regret = (next(line for line in lines if name in line) for name in ("ECE, 1,000", "UCB"))
    assert ece == "| ECE, 1,000 tries, uniform * | at most 0.03 | 0.030 | met |"
    assert regret.endswith("|  | not measured |")
    poor = figures(ours={"offline": [scored(ece=0.05)], "robust": [], "online": []})
    assert any("0.050 | **missed**" in line for line in tables.parts(poor)["goals"])


def test_a_run_of_less_than_everything_says_so() -> None:
    assert tables.parts(figures())["sizes"][0].startswith("**Not a full run.**")


def test_intervals_that_hold_too_seldom_or_too_often_are_bold() -> None:
    row = {"task": "world", "policy": "uniform", "n": 300, "seed": 0, "bias": 0.0}
    row |= {"cover80": 0.90, "cover95": 0.95, "width80": 0.5, "width95": 0.7}
    line = tables.parts(figures(simulated=[row]))["coverage"][-1]
    assert "| **90%** / 95% |" in line


def test_changes_that_were_not_recognised_count_as_late() -> None:
    rows = [{"task": "break", "seed": n, "tries": t} for n, t in enumerate([5, 10, None])]
    quiet = [{"task": "quiet", "seed": n, "alarms": n, "tries": 1_000} for n in range(2)]
    lines = tables.parts(figures(delays=rows, alarms=quiet))["robustness"]
    assert "| break | 67% | 10 | more than 100 |" in lines
    assert lines[-1] == "| quiet | 0.50 |"


# ------------------------------------------------------------------ the page
def test_a_part_of_a_page_is_written_and_the_rest_left_alone() -> None:
    text = "a\n<!-- figures: x -->\nold\n<!-- end of figures -->\nb\n"
    made = page.fill(text, {"x": ["new", "lines"]})
    assert made == text.replace("old", "new\nlines")
    assert page.fill(made, {"x": ["old"]}) == text


def test_a_page_without_a_marker_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("nothing here\n")
    with pytest.raises(SystemExit, match="one is needed"):
        page.write(document, {"x": ["new"]})
    assert document.read_text() == "nothing here\n"


def test_the_document_has_a_place_for_each_part() -> None:
    document = (ROOT / "docs" / "statistics.md").read_text()
    filled = page.fill(document, {name: ["new"] for name in tables.parts(figures())})
    assert filled.count("\nnew\n") == document.count(page.END)


def test_labels_keep_their_distance_and_their_order() -> None:
    placed = spread([0.3, 0.1, 0.31, 0.32, 0.9], 0.1)
    ordered = np.sort(placed)
    assert np.all(np.diff(ordered) > 0.1 - 1e-9)
    assert np.argsort(placed).tolist() == [1, 0, 2, 3, 4]


# ------------------------------------------------------------------ simulation
def test_contexts_of_a_made_up_world_are_as_near_as_embeddings_of_sentences() -> None:
    world = World(KINDS[0], 0)
    drawn = [world.context() for _ in range(200)]
    cluster, vectors = np.array([c for c, _, _ in drawn]), np.array([v for _, v, _ in drawn])
    cosines, same = vectors @ vectors.T, cluster[:, None] == cluster
    assert cosines[same & ~np.eye(200, dtype=bool)].mean() == pytest.approx(0.55, abs=0.05)
    assert cosines[~same].mean() == pytest.approx(0.1, abs=0.05)


def test_a_biased_log_tries_good_patterns_more_often() -> None:
    chances = {
        policy: np.mean([t.chance for t in World(KINDS[2], 1).log(2_000, policy)])
        for policy in ("uniform", "biased")
    }
    assert chances["biased"] > chances["uniform"] + 0.05  # ten standard errors


class Oracle:
    """A system whose intervals have the truth, or miss it, as it is told."""

    def __init__(self, half: float) -> None:
        self.half = half

    def fit_event(self, *event: Any) -> None: ...

    def predict(self, vector: Any, text: str, arms: list[str]) -> list[float]:
        return [0.5] * len(arms)

    def predict_interval(self, vector: Any, text: str, arms: list[str], level: float) -> Any:
        return [(0.5 - self.half, 0.5 + self.half)] * len(arms)


@pytest.mark.parametrize(("half", "holds"), [(0.5, 1.0), (0.0, 0.0)])
def test_coverage_counts_the_chances_inside(
    monkeypatch: pytest.MonkeyPatch, half: float, holds: float
) -> None:
    monkeypatch.setattr(simulated, "make", lambda: Oracle(half))
    row = simulated.coverage(simulated.Store(1, "biased", 30, 0))
    assert row["cover80"] == holds
    assert row["width95"] == pytest.approx(2 * half)


class Watchful(Oracle):
    """Recognises a change of whatever failed three times running."""

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}
        self.found: dict[str, list[float]] = {}

    def fit_event(self, vector: Any, text: str, arm: str, outcome: float, ts: float) -> None:
        self.failures[arm] = 0 if outcome > 0.5 else self.failures.get(arm, 0) + 1
        if self.failures[arm] == 3:
            self.found.setdefault(arm, []).append(ts)

    def changes(self) -> dict[str, list[float]]:
        return self.found


def test_delays_and_false_alarms_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "make", Watchful)
    found = [changes.delay((0, seed))["tries"] for seed in range(5)]
    assert all(tries is not None and 1 <= tries <= 20 for tries in found)
    assert changes.alarms((0, 0))["alarms"] > 10


def test_a_system_that_looks_for_no_changes_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "make", lambda: Oracle(0.5))
    assert changes.delay((0, 0))["tries"] is None
    assert changes.alarms((4, 0))["alarms"] == 0


def test_kinds_of_work_in_blocks_are_the_same_tries_in_another_order() -> None:
    log = list(World(KINDS[2], 0).log(200))
    blocks = changes._blocks(log)
    assert [event.ts for event in blocks] == [event.ts for event in log]
    assert sorted(event.text for event in blocks) == sorted(event.text for event in log)
    assert [event.cluster for event in blocks] == sorted(event.cluster for event in log)


def test_scores_of_rivals_are_written_and_read_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "FILE", tmp_path / "rivals.json")
    assert rivals.load() == {}
    made = {"A": {"offline": [{"skill": 0.5}], "online": []}, "B": {"robust": [{"auc": None}]}}
    rivals.FILE.write_bytes(rivals._bytes(made, harness.Sizes()))
    assert rivals.load() == made
