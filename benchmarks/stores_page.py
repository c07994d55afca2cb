"""The figures of the vector stores as a page with pictures, from the last run of each size.

What stands between the marks of the reading is written by people, and is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results, texts
from benchmarks.report import markdown, number
from benchmarks.results import Result, Run

__all__ = ["figures", "kind", "text", "write"]

SEARCHING = {
    "recall@10": "search, recall@10",
    "p50 ms": "search",
    "p95 ms": "search/p95",
    "p99 ms": "search, p99",
    "processor ms": "search, processor",
    "error of distances": "search, largest error of a distance",
}
AMONG = {
    "recall@10": "search among 1 %, recall@10",
    "p50 ms": "search among 1 %",
    "p95 ms": "search among 1 %/p95",
    "p99 ms": "search among 1 %, p99",
    "processor ms": "search among 1 %, processor",
    "answers past the filter": "answers that pass over the filter",
}
KEEPING = {
    "start to answer ms": "start to the first answer",
    "private MB": "private memory",
    "resident MB": "resident memory",
    "disk MB": "on disk",
}
FILLING = {
    "build s": "build, until upkeep is done",
    "processor s": "build, processor",
    "vectors/s in batches": "added in batches, flushed at the end",
    "highest private MB": "private memory while building, highest",
    "one and flush ms": "one vector added, and flush",
    "p95 ms": "one vector added, and flush/p95",
    "1,000 and flush ms": "1,000 vectors added, and flush",
}
TABLES = {
    "Searching": SEARCHING,
    "Searching among 1 %": AMONG,
    "Start, memory, disk": KEEPING,
    "Filling": FILLING,
}
INTRODUCTION = """# Vector stores side by side

All stores that are installed, behind the same interface, on the same vectors and questions, each in a
process of its own. The page is written by the last two of these commands; the first takes seconds, and
only checks that everything runs and that answers are right.

```console
make bench-smoke
make bench-stores
.venv/bin/python -m benchmarks.stores report
```

{start}
{reading}
{end}

![Recall against the time of a search](pictures/stores-recall.svg)

![Memory and disk by number of vectors](pictures/stores-memory.svg)
"""
METHOD = f"""## How it is measured

- Texts: {texts.SOURCE}, each once, of {texts.SHORTEST} to {texts.LONGEST:,} characters, in an order
  drawn by chance; they are fetched by apt and are not part of this project. Vectors: 384 dimensions,
  by the built-in model. Questions: 1,000 more such texts, which no store holds. Each size says how many
  vectors are those of texts; the rest lie between a real one and the nearest of a thousand others.
- recall@10: the share of the ten nearest, by comparing with all, that are among the ten found; vectors
  as near as the tenth count alike. The error of distances is the largest of all answers.
- Searches go through `VectorStore.search`, on a store that was opened and asked 50 questions. All
  stores are open at the same time and get 50 questions in turn, so that other work on the machine
  meets all alike; one that has taken 30 seconds gets no more. Processor: time of all threads in user
  and system mode, for one search on average.
- Among 1 %: `search_among` with the ids of one vector in a hundred, drawn by chance; 20 such lists
  in turn.
- Start to answer: from starting Python to the first answer, less a Python that does nothing; the
  files are in the memory of the operating system.
- Memory after 1,000 searches, less that of the same process before it opened the store, which has
  NumPy loaded. Private: anonymous pages. Resident: all, with the parts of libraries and mapped files
  that were read; the operating system may take those back.
- Disk: what the files take, which for those with holes is less than their size.
- Build: adding in batches of 4,096, a flush, and the store's upkeep, such as an index, until nothing is
  due. Adding later: to the store of that size, and on the disk after every call. whatworks itself
  keeps up to 1,024 new vectors in memory and adds them together.
- Stores are built one after the other: compare the processor's time where the load changes.
"""
START, END = "<!-- reading -->", "<!-- end of reading -->"
# Colours told apart by the colour-blind: Okabe & Ito (2008), Color Universal Design.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")
MARKS = "osD^vPX"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "whatworks",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.color": "#eeeeee",
    "figure.facecolor": "white",
}

Figures = Mapping[str, Mapping[str, float]]  # by engine and metric; "/p95" behind it for that


def kind(size: int) -> str:
    """What a run of one size is called in the results."""
    return f"stores {size}"


def write(page: Path, file: Path, sizes: Sequence[int]) -> None:
    """Write page and pictures anew."""
    runs = {size: run for size in sizes if (run := results.latest(kind(size), file))}
    if not runs:
        raise SystemExit(f"there are no results of vector stores in {file}: make bench-stores")
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    missing = [size for size in sizes if size not in runs]
    page.write_text(text(runs, old, missing=missing), encoding="utf-8")
    _draw(page.parent / "pictures", {size: figures(run.results) for size, run in runs.items()})


def text(runs: Mapping[int, Run], old: str = "", *, missing: Sequence[int] = ()) -> str:
    """The page; the reading is that of the ``old`` one, and sizes not measured yet are ``missing``."""
    reading = re.search(f"{START}\n(.*?)\n{END}", old, re.DOTALL)
    parts = [INTRODUCTION.format(start=START, reading=reading[1] if reading else "", end=END)]
    parts += [part for size, run in runs.items() for part in _parts(size, run)]
    parts += [f"## {size:,} vectors\n\nNot measured yet.\n" for size in missing]
    return "\n".join([*parts, METHOD])


def figures(found: Sequence[Result]) -> dict[str, dict[str, float]]:
    """The figures by engine and metric."""
    made: dict[str, dict[str, float]] = {}
    for result in found:
        one = made.setdefault(result.subject, {})
        one[result.metric] = result.p50
        if result.p95 is not None:
            one[f"{result.metric}/p95"] = result.p95
    return made


def _parts(size: int, run: Run) -> list[str]:
    """Tables and circumstances of one size."""
    found = figures(run.results)
    real = int(found.pop("all")["vectors of real texts"])
    loads = [result.load for result in run.results]
    heading = (
        f"## {size:,} vectors\n\n{real:,} of them are those of real texts. "
        f"Measured on {run.at:%Y-%m-%d} at commit {run.commit}\nin {run.seconds / 60:.0f} minutes, "
        f"under a load of {run.load_before:.1f} before, "
        f"{min(loads):.1f} to {max(loads):.1f} meanwhile.\n"
        f"{run.machine}.\n{run.versions}.\n"
    )
    ran = {engine: known for engine, known in found.items() if "search" in known}
    tables = [f"### {title}\n\n{_table(columns, ran)}" for title, columns in TABLES.items()]
    return [heading, *_absent(found), *tables]


def _absent(found: Figures) -> list[str]:
    """A sentence for each engine that could not be measured."""
    said = []
    for engine, known in found.items():
        for metric, value in known.items():
            if metric.startswith("not run"):
                said.append(
                    f"`{engine}` was not run: building it would take {number(value)} minutes or more.\n"
                )
            if metric.startswith("failed"):
                said.append(f"`{engine}` {metric}\n")
    return said


def _table(columns: Mapping[str, str], ran: Figures) -> str:
    rows = [
        [engine, *(number(known[name]) if name in known else "" for name in columns.values())]
        for engine, known in ran.items()
    ]
    return markdown(["", *columns], ["---", *["---:"] * len(columns)], rows)


# ------------------------------------------------------------------ pictures
def _draw(folder: Path, found: Mapping[int, Figures]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    folder.mkdir(exist_ok=True)
    names = sorted({engine for known in found.values() for engine in known} - {"all"})
    looks = {name: (COLOURS[n % 7], MARKS[n % 7]) for n, name in enumerate(names)}
    with mpl.rc_context(STYLE):
        for name, draw in (("recall", _recall), ("memory", _memory)):
            picture = draw(found, looks)
            picture.savefig(
                folder / f"stores-{name}.svg",
                metadata={"Date": None, "Creator": None},
                bbox_inches="tight",
            )


def _panels(title: str, count: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8.4, 3.9))
    panels = picture.subplots(1, count, squeeze=False, sharey=True)[0]
    picture.subplots_adjust(left=0.08, right=0.86, bottom=0.14, top=0.84, wspace=0.12)
    picture.suptitle(title, x=0.012, y=0.975, ha="left", fontsize=11, fontweight="bold")
    return picture, panels


def _recall(found: Mapping[int, Figures], looks: Mapping[str, tuple[str, str]]) -> Any:
    picture, panels = _panels("Recall against the time of a search (p50)", len(found))
    for panel, (size, known) in zip(panels, found.items(), strict=True):
        panel.set_title(f"{size:,} vectors")
        for engine, (colour, mark) in looks.items():
            one = known.get(engine, {})
            if "search" in one:
                panel.plot(one["search"], one["search, recall@10"], mark, color=colour)
        panel.set(xscale="log", xlabel="ms")
        _plain(panel.xaxis)
    panels[0].set_ylabel("recall@10")
    _legend(picture, looks)
    return picture


def _memory(found: Mapping[int, Figures], looks: Mapping[str, tuple[str, str]]) -> Any:
    picture, panels = _panels("Memory and disk by number of vectors", 2)
    metrics = {"private memory": "private memory after 1,000 searches", "on disk": "on disk"}
    for panel, (metric, title) in zip(panels, metrics.items(), strict=True):
        panel.set_title(title)
        for engine, (colour, mark) in looks.items():
            points = [
                (size, k[engine][metric]) for size, k in found.items() if metric in k.get(engine, {})
            ]
            if points:
                panel.plot(*zip(*points, strict=True), f"{mark}-", color=colour)
        panel.set(xscale="log", yscale="log", xlabel="vectors")
        panel.set_xticks(list(found), [f"{size:,}" for size in found])
        panel.minorticks_off()
        _plain(panel.yaxis)
    panels[0].set_ylabel("MB")
    _legend(picture, looks)
    return picture


def _plain(axis: Any) -> None:
    """Ticks of a logarithmic axis as plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:,g}")


def _legend(picture: Any, looks: Mapping[str, tuple[str, str]]) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=colour, marker=mark, linestyle="", label=engine)
        for engine, (colour, mark) in looks.items()
    ]
    picture.legend(handles=lines, loc="center right", frameon=False)
