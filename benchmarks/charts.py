"""Pictures of comparisons and growth, as SVG files that are the same in every run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.against_analytics import QUESTIONS
from benchmarks.against_vectors import ROWS
from benchmarks.goals import find
from benchmarks.results import OURS, Run
from benchmarks.stores_page import COLOURS, MARKS, STYLE

__all__ = ["SIZES", "write"]

Runs = Mapping[str, Run]
# The sizes of the suite, each with its patterns and events.
SIZES = {
    "10k": (10_000, 100_000),
    "100k": (100_000, 1_000_000),
    "10m-events": (100_000, 10_000_000),
    "1m-patterns": (1_000_000, 1_000_000),
}
OTHERS = "#8a8a8a"


def write(folder: Path, runs: Runs) -> list[str]:
    """Draw what has been measured; the names of the files."""
    import matplotlib as mpl

    mpl.use("svg")
    folder.mkdir(exist_ok=True)
    names = []
    with mpl.rc_context(STYLE):
        for name, draw in (("vectors", _vectors), ("tables", _tables), ("growth", _growth)):
            picture = draw(runs)
            if picture is not None:
                names.append(f"performance-{name}.svg")
                picture.savefig(
                    folder / names[-1], metadata={"Date": None, "Creator": None}, bbox_inches="tight"
                )
    return names


def _vectors(runs: Runs) -> Any:
    parts = [part for part in ("vectors-10k", "vectors-100k") if part in runs]
    if not parts:
        return None
    picture, panels = _panels("Ten nearest of a vector, p50 in ms (shorter is faster)", len(parts), 4.2)
    for panel, part in zip(panels, parts, strict=True):
        of = {result.subject: result.p50 for result in runs[part].results if result.metric == ROWS}
        rows = {f"{subject}, row numbers": p50 for subject, p50 in of.items()}
        searched = [result for result in runs[part].results if result.metric == "search"]
        values = {result.subject: result.p50 for result in searched} | rows
        _bars(panel, runs[part].results[0].size, values)
    return picture


def _tables(runs: Runs) -> Any:
    part = next((part for part in ("tables-10m", "tables-1m") if part in runs), None)
    if part is None:
        return None
    size = runs[part].results[0].size
    picture, panels = _panels(f"{size}: p50 in ms (shorter is faster)", len(QUESTIONS), 1.9, rows=True)
    for panel, (metric, _) in zip(panels, QUESTIONS.values(), strict=True):
        asked = [result for result in runs[part].results if result.metric == metric]
        _bars(panel, metric, {result.subject: result.p50 for result in asked})
    return picture


def _growth(runs: Runs) -> Any:
    if not any(f"ask-{size}" in runs for size in SIZES):
        return None
    picture, panels = _panels("What a question takes as a store grows, p50 in ms", 2, 3.4)
    sides = {
        "patterns": (
            0,
            ("10k", "100k", "1m-patterns"),
            ("find_similar by vector", "find_similar, new short text"),
        ),
        "events": (1, ("10k", "100k", "10m-events"), ("predict, new text", "trend", "stats")),
    }
    looks = iter(zip(COLOURS, MARKS, strict=True))
    for panel, (title, (place, sizes, metrics)) in zip(panels, sides.items(), strict=True):
        for metric in metrics:
            colour, mark = next(looks)
            points = [
                (SIZES[size][place], result.p50)
                for size in sizes
                if (result := find(runs, f"ask-{size}", metric)) is not None
            ]
            if points:
                panel.plot(*zip(*points, strict=True), f"{mark}-", color=colour, label=metric)
        panel.set(xscale="log", yscale="log", xlabel=title)
        ticks = [SIZES[size][place] for size in sizes]
        panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        panel.minorticks_off()
        panel.yaxis.set_major_formatter("{x:,g}")
        panel.margins(x=0.15)
        panel.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return picture


def _panels(title: str, count: int, height: float, *, rows: bool = False) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    shape = (-(-count // 2), 2) if rows else (1, count)
    picture = Figure(figsize=(9.2, height * shape[0]), layout="constrained")
    panels = picture.subplots(*shape, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.remove()
    picture.suptitle(title, fontsize=11, fontweight="bold")
    return picture, panels[:count]


def _bars(panel: Any, title: str, values: Mapping[str, float]) -> None:
    """Logarithmic, the fastest on top, each with its figure."""
    ordered = sorted(values.items(), key=lambda item: -item[1])
    names = [name for name, _ in ordered]
    colours = [COLOURS[0] if name == OURS else OTHERS for name in names]
    bars = panel.barh(names, [value for _, value in ordered], color=colours)
    panel.bar_label(bars, [f"{value:,.3g}" for _, value in ordered], padding=3)
    panel.set_title(title)
    panel.set_xscale("log")
    panel.margins(x=0.25)
    panel.xaxis.set_major_formatter("{x:,g}")
    panel.minorticks_off()
    panel.grid(axis="y", visible=False)
