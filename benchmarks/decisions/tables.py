"""Rows of scores as Markdown tables; ``page.py`` puts them into the document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from benchmarks.decisions import changes, goals, resampling, rivals, simulated
from benchmarks.decisions.harness import POLICIES, Row, Scores, Sizes
from benchmarks.decisions.resampling import Interval, mean_of

__all__ = [
    "Figures",
    "known_chances",
    "parts",
    "replays",
    "select",
    "shared_logs",
]

MAIN = (300, 1_000, 3_000)
ROBUST = {
    ("drift", "err_broken"): "a pattern breaks half-way: error of its estimate",
    ("drift", "err_fixed"): "a pattern is mended half-way: error of its estimate",
    ("clean", "brier"): "Brier score of the clean log",
    ("stretched", "brier"): "... spread over half a year",
    ("blocks", "brier"): "... when kinds of work come in blocks",
    ("spam", "shift_spammed"): "100 fake successes in one context: its estimate moves by",
    ("spam", "picked_spammed"): "... and how often it is then chosen",
    ("clean", "auc"): "AUC of the clean log",
    ("dup", "auc"): "... with 20 events repeated 30 times",
}
BESIDE = {"SeedSQL": "original query"} | rivals.PAIRED  # rivals in the table of robustness
WITHIN = 50  # tries of a changed pattern after which the table asks whether it is known
Lines = list[str]


class Figures(NamedTuple):
    """All that was measured; ``ucb`` is empty if the product has no ``make_ucb``."""

    ours: Scores
    ucb: list[Row]
    simulated: list[Row]
    delays: list[Row]
    alarms: list[Row]
    rivals: dict[str, Scores]


def select(rows: Iterable[Row], **values: Any) -> list[Row]:
    """The rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def known_chances(figures: Figures) -> list[Row]:
    """Our rows of logs whose chances are known, so that intervals could be checked."""
    return [row for row in figures.ours["offline"] if "cover80" in row]


def parts(figures: Figures) -> dict[str, Lines]:
    """What goes between which markers of the document."""
    return {
        "sizes": [_sizes(figures)],
        "goals": [*reference(figures), "", *goals_met(figures)],
        "systems": systems(figures),
        "ours": [*ours(figures), "", *paired(figures)],
        "coverage": coverage(figures),
        "robustness": [*robustness(figures), "", *delays(figures), "", *alarms(figures)],
        "online": online(figures),
    }


def _sizes(figures: Figures) -> str:
    rows = figures.ours["offline"]
    tasks, seeds, ns = ({row[name] for row in rows} for name in ("task", "seed", "n"))
    stores = len({row["seed"] for row in figures.simulated})
    run = f"{len(tasks)} tasks, {len(seeds)} seeds, {stores} simulated stores of each kind and log."
    whole = Sizes()
    full = tasks >= {*whole.tasks} and ns >= {*whole.ns} and len(seeds) >= whole.seeds
    return f"Means over {run}" if full else f"**Not a full run.** Means over {run}"


# ------------------------------------------------------------------ goals
def reference(figures: Figures) -> Lines:
    """Each cell of the reference beside ours."""
    lines = [
        [policy, "ECE" if figure == "ece" else figure]
        + [_beside(figures, policy, figure, n, targets[n]) if n in targets else "" for n in MAIN]
        for (policy, figure), targets in goals.REFERENCE.items()
    ]
    return _table(["log", "", *(f"{n:,} tries" for n in MAIN)], lines, words=2)


def _beside(figures: Figures, policy: str, figure: str, n: int, target: float) -> str:
    measured = mean_of(select(figures.ours["offline"], policy=policy, n=n), figure)
    digits = goals.DIGITS[figure]
    met = goals.word(goals.against_reference(policy, figure, n, measured))
    return f"{_number(measured, digits)} ({_number(target, digits)}) {met}".strip()


def goals_met(figures: Figures) -> Lines:
    """Each goal beside what was measured."""
    lines = []
    for goal in goals.GOALS:
        value = _measured(figures, goal.figure)
        verdict = goals.within(value, goal.low, goal.high, goal.digits)
        lines.append([goal.title, goal.target, _number(value, goal.digits), goals.word(verdict)])
    return _table(["goal", "", "measured", ""], [*lines, *_holding(figures)], words=2)


def _measured(figures: Figures, figure: str) -> float:
    name, _, which = figure.partition("/")
    match name:
        case "drift":
            return mean_of(figures.ours["robust"], "drift", "err_broken")
        case "regret":
            rows = figures.ucb if which == "ucb" else figures.ours["online"]
            return mean_of(rows, "regret_best_single")
    return mean_of(select(figures.ours["offline"], policy=which, n=1_000), name)


def _holding(figures: Figures) -> Iterator[list[str]]:
    """In how many cells of the table of coverage intervals hold as often as they should."""
    places = {"clinc_tools": known_chances(figures), "simulated stores": figures.simulated}
    for (place, rows), (level, (low, high)) in product(places.items(), goals.HOLDS.items()):
        found = [value for _, holds in _cells(rows) for value in holds[level]]
        verdicts = [v for value in found if (v := goals.within(value, low, high, 2)) is not None]
        good = f"in {sum(verdicts)} of {len(verdicts)} cells"
        yield [
            f"{level} % intervals hold the chance, {place}",
            f"{100 * low:.0f} to {100 * high:.0f} %",
            good if verdicts else "",
            goals.word(all(verdicts) if verdicts else None),
        ]


# ------------------------------------------------------------------ intervals
def coverage(figures: Figures) -> Lines:
    """How often intervals hold the chance, beside their width and the bias; misses are bold."""
    where = [f"{policy} {n:,}" for policy, n in _logs()]
    lines = []
    for rows in (known_chances(figures), figures.simulated):
        for task, holds in _cells(rows):
            mine = select(rows, task=task)
            cells = zip(*(holds[level] for level in goals.HOLDS), strict=True)
            shown = [
                " / ".join(_held(*pair) for pair in zip(cell, goals.HOLDS, strict=True))
                for cell in cells
            ]
            width = " / ".join(_number(mean_of(mine, f"width{level}"), 2) for level in goals.HOLDS)
            lines.append([task, *shown, width, _number(mean_of(mine, "bias"), 3)])
    return _table(["80 % / 95 % intervals", *where, "width", "bias"], lines)


def _logs() -> list[tuple[str, int]]:
    return list(product(POLICIES, simulated.NS))


def _cells(rows: Sequence[Row]) -> Iterator[tuple[str, dict[int, list[float]]]]:
    """For each task how often intervals of each level hold, one figure for each of ``_logs()``."""
    for task in dict.fromkeys(row["task"] for row in rows):
        chosen = [select(rows, task=task, policy=policy, n=n) for policy, n in _logs()]
        levels = {level: [mean_of(cell, f"cover{level}") for cell in chosen] for level in goals.HOLDS}
        yield task, levels


def _held(value: float, level: int) -> str:
    if value != value:
        return "-"
    missed = goals.within(value, *goals.HOLDS[level], 2) is False
    return f"**{value:.0%}**" if missed else f"{value:.0%}"


# ------------------------------------------------------------------ systems
def ours(figures: Figures) -> Lines:
    """Our scores by size, with intervals."""
    lines = []
    for policy, n, rows in _by_log(figures):
        skill = _range(resampling.interval(rows, resampling.skill), 3)
        gain = _range(resampling.interval(rows, resampling.gain), 2)
        rest = [_number(mean_of(rows, "ece"), 3), _number(mean_of(rows, "predict_ms"), 1)]
        lines.append([policy, f"{n:,}", skill, gain, *rest])
    return _table(["log", "tries", "skill", "gain", "ECE", "ms"], lines)


def paired(figures: Figures) -> Lines:
    """How much more than two rivals we get from the same logs, context by context."""
    lines = []
    for policy, n, rows in _by_log(figures):
        cells = [
            cell
            for name in rivals.PAIRED
            for cell in _more(rows, figures.rivals.get(name, {}).get("offline", []))
        ]
        if any(cells):
            lines.append([policy, f"{n:,}", *cells])
    scores = [f"{score} above {name}" for name in rivals.PAIRED.values() for score in ("skill", "gain")]
    return _table(["log", "tries", *scores], lines)


def _by_log(figures: Figures) -> Iterator[tuple[str, int, list[Row]]]:
    """Our rows for each kind of log and number of tries."""
    rows = figures.ours["offline"]
    for policy, n in product(POLICIES, sorted({row["n"] for row in rows})):
        if chosen := select(rows, policy=policy, n=n):
            yield policy, n, chosen


def _more(rows: list[Row], rival: list[Row]) -> tuple[str, str]:
    mine, theirs = rivals.comparable(rows, rival)
    if not mine:
        return "", ""
    skill = resampling.difference(mine, theirs, resampling.skill)
    gain = resampling.difference(mine, theirs, resampling.gain)
    return _range(skill, 3, "+"), _range(gain, 2, "+")


def systems(figures: Figures) -> Lines:
    """Every system at the main sizes, the worst first, ours last."""
    named = [
        (rival.title, rows) for rival in rivals.RIVALS if (rows := shared_logs(figures, rival.name))
    ]
    named.sort(key=lambda pair: _skill(pair[1]))
    lines = [
        _system(title, rows) for title, rows in [*named, ("**whatworks**", figures.ours["offline"])]
    ]
    columns = ["300 / 1,000 / 3,000 tries"]
    columns += [f"{figure} {policy}" for policy in POLICIES for figure in ("skill", "gain")]
    return _table([*columns, "ECE 1,000", "answers for", "logs"], lines)


def shared_logs(figures: Figures, name: str) -> list[Row]:
    """Offline rows of a rival on those tasks that we ran."""
    tasks = {row["task"] for row in figures.ours["offline"]}
    rows = figures.rivals.get(name, {}).get("offline", [])
    return [row for row in rows if row["task"] in tasks]


def _skill(rows: list[Row]) -> float:
    return mean_of(select(rows, n=1_000, policy="uniform"), "skill")


def _system(title: str, rows: list[Row]) -> list[str]:
    def cell(policy: str, figure: str) -> str:
        digits = goals.DIGITS[figure]
        found = [mean_of(select(rows, policy=policy, n=n), figure) for n in MAIN]
        return " / ".join(_number(value, digits) or "-" for value in found)

    scores = [cell(policy, figure) for policy in POLICIES for figure in ("skill", "gain")]
    at = select(rows, n=1_000)
    answers = mean_of(at, "cover")
    seeds = f"{len({row['task'] for row in rows})} x {len({row['seed'] for row in rows})}"
    ece = _number(mean_of(select(at, policy="uniform"), "ece"), 3)
    return [title, *scores, ece, "" if answers != answers else f"{answers:.0%}", seeds]


def robustness(figures: Figures) -> Lines:
    """What attacks and changes do, to us and to some rivals."""
    columns = ["1,000 tries", "whatworks", "reference *", *BESIDE.values()]
    lines = [
        [
            title,
            _number(mean_of(figures.ours["robust"], *path), 3),
            _number(goals.REFERENCE_ROBUST.get(path, np.nan), 3),
            *(_number(mean_of(_robust(figures, name), *path), 3) for name in BESIDE),
        ]
        for path, title in ROBUST.items()
    ]
    return _table(columns, lines)


def _robust(figures: Figures, name: str) -> list[Row]:
    tasks = {row["task"] for row in figures.ours["robust"]}
    rows = figures.rivals.get(name, {}).get("robust", [])
    return [row for row in rows if row["task"] in tasks]


def online(figures: Figures) -> Lines:
    """Who chooses while learning, the worst first: regret, and what the last quarter brings."""
    rows = [(title, regrets(rows), ahead(rows)) for title, rows in replays(figures).items()]
    rows += [(name, [float(regret)], np.nan) for name, regret in goals.REFERENCE_ONLINE.items()]
    rows.sort(key=lambda row: -np.mean(row[1]))
    lines = [
        [title, _number(float(np.mean(found)), 0), _span(found), _number(late, 3, "+")]
        for title, found, late in rows
    ]
    return _table(["", "regret", "lowest and highest task", "last quarter"], lines)


def replays(figures: Figures) -> dict[str, list[Row]]:
    """Online rows of all systems by title, on the tasks that we ran."""
    tasks = {row["task"] for row in figures.ours["online"]}
    found = {"**whatworks**, greedy": figures.ours["online"], "**whatworks**, UCB": figures.ucb}
    for rival in rivals.RIVALS:
        found[rival.title] = figures.rivals.get(rival.name, {}).get("online", [])
    return {
        title: mine
        for title, rows in found.items()
        if (mine := [r for r in rows if r["task"] in tasks])
    }


def regrets(rows: list[Row]) -> list[float]:
    """Regret against the best single pattern, one figure a task."""
    tasks = sorted({row["task"] for row in rows})
    return [mean_of(select(rows, task=task), "regret_best_single") for task in tasks]


def ahead(rows: list[Row]) -> float:
    """Mean outcome of the last quarter of the tries, less that of the best single pattern."""
    return mean_of(rows, "late") - mean_of(rows, "best_single")


def _span(found: list[float]) -> str:
    return f"{min(found):.0f} to {max(found):.0f}" if len(found) > 1 else ""


# ------------------------------------------------------------------ changes
def delays(figures: Figures) -> Lines:
    """How soon changes are recognised."""
    lines = []
    for task in dict.fromkeys(row["task"] for row in figures.delays):
        tries = [row["tries"] for row in select(figures.delays, task=task)]
        waited = np.array([np.inf if value is None else value for value in tries])
        middle, late = np.quantile(waited, [0.5, 0.9], method="higher")
        lines.append([task, f"{(waited <= WITHIN).mean():.0%}", _waited(middle), _waited(late)])
    columns = ["change", f"known within {WITHIN} tries", "median", "9 in 10 within"]
    return _table(columns, lines)


def _waited(tries: float) -> str:
    return f"{tries:.0f}" if np.isfinite(tries) else f"more than {changes.PATIENCE}"


def alarms(figures: Figures) -> Lines:
    """How often a change is seen where there is none."""
    lines = []
    for task in dict.fromkeys(row["task"] for row in figures.alarms):
        rows = select(figures.alarms, task=task)
        rate = 1_000 * sum(row["alarms"] for row in rows) / sum(row["tries"] for row in rows)
        lines.append([task, f"{rate:.2f}"])
    return _table(["no change", "false alarms in 1,000 tries"], lines)


# ------------------------------------------------------------------ cells
def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> Lines:
    """Markdown; the first ``words`` columns are text, the others numbers."""
    rule = ["---"] * words + ["--:"] * (len(columns) - words)
    body = [f"| {' | '.join(line)} |" for line in [columns, *rows]]
    return [body[0], f"|{'|'.join(rule)}|", *body[1:]]


def _number(value: float, digits: int, sign: str = "") -> str:
    """Nothing for NaN, and no minus before a zero."""
    if value != value:
        return ""
    rounded = round(value, digits) + 0.0
    return f"{rounded:{sign}.{digits}f}"


def _range(found: Interval, digits: int, sign: str = "") -> str:
    value, low, high = (_number(x, digits, sign) for x in found)
    return f"{value} ({low} to {high})"
