"""New processes: from the start of Python to the first answer, beside a live keeper and alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.child import Child
from benchmarks.corpus import Corpus, Size
from benchmarks.measure import BARE, fresh, less_bare
from benchmarks.results import Measured, Result
from whatworks.bench import pattern_id

__all__ = ["NAME", "run"]

NAME = "starts"
_IMPORT = "from whatworks import Memory\n"
_OPEN = _IMPORT + "memory = Memory.open({folder!r}, create=False)\n"
_TREND = _OPEN + "assert memory.trend({pattern!r}).days is not None"
_FIND = _OPEN + "assert memory.find_similar({text!r})"
_TIMES = {"ms": ("time", "ms"), "anonymous": ("memory, anonymous", "MB"), "uss": ("memory, USS", "MB")}


def run(folder: Path, corpus: Corpus, size: Size, *, starts: int) -> list[Result]:
    """With a keeper in another process, then without; all less a Python that does nothing."""
    measured = Measured(NAME, str(size))
    values = {"folder": str(folder), "pattern": pattern_id(0), "text": corpus.short_questions()[0]}
    programs = {
        "import alone": _IMPORT,
        "import and open": _OPEN.format(**values),
        "first trend": _TREND.format(**values),
        "first find_similar": _FIND.format(**values),
    }
    with Child("benchmarks.asking:Asker", str(folder)) as keeper:
        keeper.ask("open")
        keeper.ask("by_text", corpus.questions[1])
        _measure(measured, "client of a live keeper", programs, starts, busy=keeper)
    alone = {name: program for name, program in programs.items() if name.startswith("first")}
    _measure(measured, "alone", alone, starts)
    return measured.results


def _measure(
    measured: Measured, who: str, programs: dict[str, str], starts: int, busy: Child | None = None
) -> None:
    if busy is not None:
        busy.ask("stats")  # an idle keeper lets go of the store
    taken = fresh({"bare": BARE} | programs, starts)
    for name in programs:
        for field, value in less_bare(taken[name], taken["bare"]).items():
            if field in _TIMES:
                what, unit = _TIMES[field]
                measured.add(f"{who}, {name}: {what}", value, unit)
