"""Pictures of the figures, as SVG files that are the same in every run.

Text stays text, on a white ground: readable on light and dark pages. matplotlib is
in the dependency group ``decisions`` and is imported only when pictures are drawn.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions import goals, resampling
from benchmarks.decisions.harness import POLICIES, Row
from benchmarks.decisions.resampling import mean_of
from benchmarks.decisions.tables import Figures, known_chances, replays, select, shared_logs

__all__ = ["spread", "write"]

Float64 = NDArray[np.float64]

# Colours told apart by the colour-blind: Okabe & Ito (2008), Color Universal Design.
OURS, BLUE, ORANGE, GREEN, PINK, SKY = "#d55e00", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"
INK, GREY, PALE = "#222222", "#8a8a8a", "#dddddd"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "whatworks",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#eeeeee",
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}
SIZE, RIGHT = (8.4, 3.9), 0.79  # inches; where the panels end and names of lines begin
# Rivals in the picture of skill: (name, label, colour).
DRAWN = (
    ("LogRegShared", "one logistic model", BLUE),
    ("LogRegArm", "logistic per pattern", SKY),
    ("KernelBeta", "kernel Beta", GREEN),
    ("GlobalShrunk", "pattern mean", ORANGE),
    ("VWReg", "Vowpal Wabbit", GREY),
    ("KNN50", "kNN mean", PINK),
    ("MABLin", "MABWiser linear", GREY),
    ("SeedFixed", "query, no filter", GREY),
    ("MAB", "MABWiser KNearest", GREY),
    ("SeedSQL", "original query", INK),
)
SKILLS = (-0.22, 0.135)  # what is below is named under the picture
BELIEVED = (
    ("LogRegShared", "one logistic model", BLUE),
    ("KernelBeta", "kernel Beta", GREEN),
    ("SeedSQL", "original query", INK),
)


def write(folder: Path, figures: Figures) -> None:
    """Draw all pictures anew."""
    import matplotlib as mpl

    mpl.use("svg")
    folder.mkdir(exist_ok=True)
    drawn = {"skill": _skill, "reliability": _reliability, "online": _online, "coverage": _coverage}
    with mpl.rc_context(STYLE):
        for name, draw in drawn.items():
            picture = draw(figures)
            picture.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


def spread(heights: Sequence[float], least: float) -> list[float]:
    """Heights of labels, moved up or down so that none is nearer to the next than ``least``.

    Examples
    --------
    >>> spread([0.0, 1.0, 1.0], 0.5)
    [0.0, 0.75, 1.25]
    """
    order = np.argsort(heights, kind="stable")
    groups: list[tuple[list[int], float]] = []  # neighbours that touch, and their middle
    for label in order:
        groups.append(([int(label)], heights[label]))
        while len(groups) > 1 and _touch(*groups[-2:], least):
            (low, below), (high, above) = groups[-2:]
            both = low + high
            middle = (len(low) * below + len(high) * above) / len(both)
            groups[-2:] = [(both, middle)]
    placed = dict.fromkeys(range(len(heights)), 0.0)
    for labels, middle in groups:
        for number, label in enumerate(labels):
            placed[label] = float(middle + least * (number - (len(labels) - 1) / 2))
    return list(placed.values())


def _touch(low: tuple[list[int], float], high: tuple[list[int], float], least: float) -> bool:
    return high[1] - low[1] < least * (len(low[0]) + len(high[0])) / 2


def _panels(title: str, *, bottom: float = 0.14) -> tuple[Any, Any]:
    """Two panels side by side, for uniform and biased logs."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=SIZE)
    panels = picture.subplots(1, 2, sharey=True)
    picture.subplots_adjust(left=0.09, right=RIGHT, bottom=bottom, top=0.84, wspace=0.1)
    picture.suptitle(title, x=0.012, y=0.975, ha="left", fontsize=11, fontweight="bold")
    for panel, policy in zip(panels, POLICIES, strict=True):
        panel.set_title(f"{policy} logs")
    return picture, panels


def _label(panel: Any, ends: list[tuple[float, str, str]], least: float) -> None:
    """Names of lines at their right ends: (height, name, colour)."""
    heights = spread([height for height, _, _ in ends], least)
    for height, (_, name, colour) in zip(heights, ends, strict=True):
        weight = "bold" if colour == OURS else "normal"
        panel.annotate(
            name,
            (1.035, height),
            xycoords=("axes fraction", "data"),
            va="center",
            color=colour,
            fontweight=weight,
            fontsize=8.5,
            annotation_clip=False,
        )


# ------------------------------------------------------------------ skill by size
def _skill(figures: Figures) -> Any:
    picture, panels = _panels("Skill by number of logged tries", bottom=0.24)
    for panel, policy in zip(panels, POLICIES, strict=True):
        rows = select(figures.ours["offline"], policy=policy)
        ns = sorted({row["n"] for row in rows})
        found = [resampling.interval(select(rows, n=n), resampling.skill) for n in ns]
        value, low, high = np.array(found).T
        panel.axhline(0, color=GREY, linewidth=0.8)
        ends, below = _rival_lines(figures, panel, policy)
        panel.fill_between(ns, low, high, color=OURS, alpha=0.18, linewidth=0)
        panel.plot(ns, value, color=OURS, marker="o", linewidth=2.2)
        targets = goals.REFERENCE[policy, "skill"]
        panel.plot(list(targets), list(targets.values()), "D", color=INK, markersize=4.5, zorder=5)
        panel.set(xscale="log", ylim=SKILLS, xlabel="tries")
        panel.set_xticks(ns, [f"{n:,}" for n in ns])
        panel.minorticks_off()
        if below:
            words = "below: " + ", ".join(f"{name} {_minus(skill, 2)}" for skill, name in below)
            panel.text(0, -0.22, _wrapped(words), transform=panel.transAxes, va="top", fontsize=8)
    ends = [(min(height, SKILLS[1]), name, colour) for height, name, colour in ends]
    ends += [(float(value[-1]), "whatworks", OURS), (list(targets.values())[-1], "◆ reference", INK)]
    _label(panels[1], ends, 0.0195)
    panels[0].set_ylabel("skill")
    return picture


def _rival_lines(
    figures: Figures, panel: Any, policy: str
) -> tuple[list[tuple[float, str, str]], list[tuple[float, str]]]:
    """Draw the rivals; return the ends of their lines, and those that end below the picture."""
    ends, below = [], []
    for name, label, colour in DRAWN:
        rows = select(shared_logs(figures, name), policy=policy)
        ns = sorted({row["n"] for row in rows})
        if not ns:
            continue
        skills = [mean_of(select(rows, n=n), "skill") for n in ns]
        panel.plot(ns, skills, color=colour, marker=".", linestyle="--" if colour == GREY else "-")
        if skills[-1] < SKILLS[0]:
            below.append((skills[-1], label))
        else:
            ends.append((skills[-1], label, colour))
    return ends, sorted(below, reverse=True)


def _minus(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _wrapped(words: str) -> str:
    return "\n".join(textwrap.wrap(words, 44))


# ------------------------------------------------------------------ are numbers to be believed
def _reliability(figures: Figures) -> Any:
    picture, panels = _panels("What was said, and what came: 1,000 tries")
    for panel, policy in zip(panels, POLICIES, strict=True):
        panel.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        ends = []
        systems = [("", "whatworks", OURS), *BELIEVED]
        for name, label, colour in reversed(systems):
            rows = shared_logs(figures, name) if name else figures.ours["offline"]
            chosen = select(rows, policy=policy, n=1_000)
            if chosen:
                ends.append((_believed(panel, chosen, colour), label, colour))
        panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean of the estimates in a bin")
        panel.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    _label(panels[1], ends, 0.065)
    panels[0].set_ylabel("mean outcome")
    return picture


def _believed(panel: Any, rows: list[Row], colour: str) -> float:
    """Draw the bins that hold at least 1 in 500 answers, larger where more; the height of the last."""
    count, said, came = np.sum([row["reliability"] for row in rows], axis=0).T
    kept = count > max(count.sum() / 500, 1)
    x, y, share = said[kept] / count[kept], came[kept] / count[kept], count[kept] / count.sum()
    panel.plot(x, y, color=colour, linewidth=2 if colour == OURS else 1.2)
    for least, most, size in (
        (0, 0.05, 2.5),
        (0.05, 0.2, 4.5),
        (0.2, 1.1, 8),
    ):  # few sizes, a small file
        some = (share >= least) & (share < most)
        panel.plot(x[some], y[some], "o", color=colour, markersize=size, clip_on=False)
    return float(y[-1])


# ------------------------------------------------------------------ choosing while learning
def _online(figures: Figures) -> Any:
    from matplotlib.figure import Figure

    picture = Figure(figsize=SIZE)
    panel = picture.subplots()
    picture.subplots_adjust(left=0.09, right=0.68, bottom=0.14, top=0.88)
    title = "Choosing while learning: what the best single pattern would have brought more"
    picture.suptitle(title, x=0.012, y=0.975, ha="left", fontsize=11, fontweight="bold")
    colours = iter([INK, GREEN, ORANGE, PINK, SKY, BLUE, GREY, GREY, GREY, GREY])
    panel.axhline(0, color=GREY, linewidth=0.8)
    ends = []
    for name, rows in replays(figures).items():
        mine = name.startswith("**")
        colour = OURS if mine else next(colours)
        curve = np.mean(
            [_regret(select(rows, task=task)) for task in {r["task"] for r in rows}], axis=0
        )
        style = "--" if "UCB" in name or colour == GREY else "-"
        steps = np.linspace(0, rows[0]["steps"] - 1, len(curve)).astype(int) + 1
        panel.plot(steps, curve, color=colour, linestyle=style, linewidth=2.2 if mine else 1.3)
        ends.append((float(curve[-1]), name.replace("*", ""), colour))
    low, high = panel.get_ylim()
    _label(panel, ends, (high - low) / 19)
    panel.set(xlabel="tries", ylabel="regret", xlim=(0, None))
    panel.margins(x=0)
    return picture


def _regret(rows: list[Row]) -> Float64:
    """Regret at the 21 places of the harness's curves, the mean over seeds."""
    curves = []
    for row in rows:
        steps = np.linspace(0, row["steps"] - 1, len(row["curve"])).astype(int) + 1
        curves.append(row["best_single"] * steps - np.array(row["curve"]))
    mean: Float64 = np.mean(curves, axis=0)
    return mean


# ------------------------------------------------------------------ do intervals hold
def _coverage(figures: Figures) -> Any:
    picture, panels = _panels("Do intervals hold the known chance?")
    levels = np.array([50, 80, 95])
    rows = known_chances(figures) + figures.simulated
    colours = (OURS, BLUE, GREEN, ORANGE, PINK, SKY)
    for panel, policy in zip(panels, POLICIES, strict=True):
        panel.plot([0.3, 1], [0.3, 1], color=GREY, linewidth=0.8)
        for level, (low, high) in goals.HOLDS.items():
            panel.plot([level / 100] * 2, [low, high], color=INK, linewidth=9, alpha=0.16)
        ends = []
        tasks = list(dict.fromkeys(row["task"] for row in rows))
        for number, (task, colour) in enumerate(zip(tasks, colours, strict=False)):
            mine = select(rows, task=task, policy=policy)
            held = [mean_of(mine, f"cover{level}") for level in levels]
            panel.plot(levels / 100 + 0.004 * (number - 2), held, color=colour, marker="o")
            ends.append((held[-1], task, colour))
        panel.set(xlim=(0.45, 1), ylim=(0.3, 1.02), xlabel="level of the interval")
        panel.set_xticks(levels / 100, [f"{level} %" for level in levels])
        panel.set_yticks(np.arange(0.3, 1.01, 0.1), [f"{n} %" for n in range(30, 101, 10)])
    _label(panels[1], ends, 0.045)
    panels[0].set_ylabel("holds the chance")
    return picture
