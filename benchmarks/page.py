"""``docs/performance.md``: goals, comparisons and growth from the last results of each part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import charts, results
from benchmarks.goals import GOALS, Figure, Goal
from benchmarks.measure import ROOT
from benchmarks.report import markdown, number
from benchmarks.results import OURS, Result, Run

__all__ = ["PAGE", "made", "write"]

PAGE = ROOT / "docs" / "performance.md"
Runs = Mapping[str, Run]

INTRODUCTION = """# Performance

How fast whatworks is, how much memory and disk it takes, how that grows, and how it stands beside
what one would take in its place. Written by the last of these commands; the first takes two minutes
and checks that everything runs and that no question costs more than it did, the second takes hours
and goes on where it was interrupted.

```console
make bench-smoke
make bench
make bench-report
```

`whatworks bench` measures on your own machine, and with `--store PATH` on your own store.
[stores-benchmark.md](stores-benchmark.md) has all vector stores side by side.
"""

COMPARISONS = {
    "vectors": (
        "Beside vector stores",
        "Ten nearest of a vector. Peers with a graph look at the fewest candidates of 16, 32, "
        "64 … 512 that find 95 % of the nearest. whatworks is asked by "
        "`find_similar(vector=...)`.",
        "whatworks answers with patterns, their tries and success, and holds words and events "
        "too, which its disk and memory show. Peers that can keep more beside a vector keep the "
        "id, text, type and time of its pattern and answer *search* with these; what they take "
        "for row numbers alone is listed too (OmenDB cannot leave the rest out). hnswlib, usearch "
        "and NumPy know vectors only, and keep what one saves; processor time and the first search "
        "are those of the fuller answer. NumPy and DuckDB compare with all and find all. None gets "
        "writes meanwhile. Peers run as their documentation shows; somebody who knows one of them "
        "better may make it faster.",
    ),
    "tables": (
        "Beside SQLite, pandas and Polars",
        "The same tries, the same five questions; the answers must be equal.",
        "SQLite has three indexes made for these very questions. pandas and Polars hold all "
        "in memory, cannot be written to, and are loaded from Parquet at each start. "
        "whatworks computes intervals, moving averages and the last change with each trend, "
        "and counts contexts and patterns with its stats; the peers compute only what all "
        "can. The last two questions go to its documented views by SQL, in a process that has "
        "closed the store.",
    ),
    "agents": (
        "Beside other memories for agents",
        "Texts added one by one, then searched, all with the built-in model.",
        "mem0 runs without a language model (`infer=False`), which leaves out what it is "
        "mainly made for; LangGraph's store is in memory and forgets at the end. whatworks "
        "has the text on the disk when `add_pattern` returns, and embeds it later: a search "
        "waits for that.",
    ),
    "files": (
        "Beside the file-based memory",
        "JSON files, read whole at the start, searched by words one after the other: what "
        "whatworks replaces. *whatworks, by words* is a store without a model, which compares "
        "words too; the goal is about that one.",
        "The file-based memory is a plain rewrite of one, without its locks and writes. It "
        "looks through its turns too, and whatworks through descriptions. It knows words only: "
        "with the model a new text costs whatworks an embedding. Its memory is that of one "
        "process; the keeper's is not counted where a client is measured.",
    ),
}
MACHINES = """## What changed, and on which machine

All but a million patterns, ten million events and what stands beside the file-based memory was
measured on one machine within half an hour, with priority over other work; the first two are of
another run, by the code before. Its processor has AVX-512 and instructions for int8. Its pace changes
from one quarter of an hour to the next, whatever the load. So 100,000 patterns were asked five times:
a new short text was found in 4.5, 4.5, 4.7, 4.8 and 4.8 ms, and predicted for in 9.4, 9.4, 9.4, 9.4
and 10.9; the run in the middle stands above. A million tries were written four times, at 46,700,
46,700, 47,500 and 48,100 a second, and by a process that had not filled the store before at 52,000 to
58,000. The file-based memory was measured a few hours later, by the code as it is now, when the same
machine took a fifth longer for all: its rows are ratios, the others were left as they were. A million
tries were written at 43,000 a second then; in turn, 300,000 tries five or six times each, at 41,100 to
44,900 by the code before and at 46,100 to 52,400 since the engine leaves a processor to the caller.
*When and where* has the date and the code of each part.

The code before (2a06f52) and this one on that machine:

| | before | now |
| --- | ---: | ---: |
| predict, new text, 1,000,000 events, p50, ms | 10.7 to 12.4 | 9.4 to 10.9 |
| a million tries by record_many, 6 % without an outcome, the slowest 5,000 of them, ms | 1,900 | 200 |
| the same, events/s, in turn | 39,000 to 42,000 | 52,000 to 57,000 |
| a question each half second meanwhile, median (the slowest), s | 0.8 (3.9) | 0.45 (1.4) |
"""
MISSES = """## Why what is missed is missed, and what was tried

- **A new short text, and predict,** are at the edge of their goals, where the processor has
  instructions for int8: it depends on the quarter of an hour. Half of the time of a short
  text is the embedding (*floors* above has the parts): 11 million weights for each token, on two
  threads, which do two thirds of the products a second that they do for many texts at once. Tried:
  threads that spin within a text (a third less, kept), one thread (half as much again), embedding no
  text twice (a repeated text takes 0.1 ms), the network in the steps for which the engine has kernels
  (a quarter less, kept), weights of 8 bits in blocks with their own scale (another third less with
  instructions for int8, no faster without; 28 MB less memory, and a fiftieth of the ten nearest
  change; kept), 8 bits with a scale for a whole layer (a tenth of the ten nearest change, and each
  stored embedding would have to be made again), postings of the last words in memory, in longer parts,
  and sums without sorting (two thirds of the search among words, kept), searching among vectors in
  another thread meanwhile (no faster). A quarter of predict is the embedding; then two searches, eight
  systems of 256 equations (four for the order, four for the intervals of what is shown), the tries of
  the nearest contexts, and what is kept of each of 250 patterns. Tried: rows from an SQLite file
  instead of DuckDB (18.8 to 14.5 ms), one thread for NumPy (kept), systems as large as a pattern's
  cells and as there are contexts, where contexts have several tries (kept, `kriging.py`), one factor
  for both solutions (NumPy's Cholesky takes as long as its solution), leaving out profiles of little
  weight (here none has less than 5 %), reading no more contexts than are needed and looking through
  all tries only of patterns that are shown (kept: with ten million events the slowest in twenty took
  140 ms, and take 27), records of patterns in memory until they change (half of reading them, kept),
  the tries of as many contexts at once as the last question needed (a sixth of reading them, kept),
  the search among descriptions beside that among contexts, in another thread (3 % of all, kept).
- **The view usage_events, newest 100.** DuckDB 1.5.6 does not push a sorted limit below the joins that
  name patterns and contexts, but the filter that comes of it. So the view reads the last rows of tries
  first, and then all blocks of older ones are passed over (a tenth of the time with ten million, kept);
  each try has a context, be it none, so that contexts are joined by their numbers as places (half the
  time of an outer join, kept). What is left is reading all patterns and contexts to name a hundred,
  and, with a million tries, all columns of those of 30 days: they lie in three blocks, which are begun
  before the filter is there. Tried: a union at a time instead of a row (five times as long: the engine
  expects few rows of it), subqueries in place of joins (four times), a view without names (6 to 7 ms,
  but ids beside each try take 13 bytes, and texts would be missing), ids and texts beside each try (75
  bytes a try more, and no faster: the engine reads blocks of 122,880 rows; with blocks a tenth as large
  it is ten times as fast, but the engine makes such blocks only in files that are attached to another).
  `memory.events()` asks otherwise, and whoever asks by `Memory.sql` waits for the copy first. With ten
  million tries the count by day over the same view is the slowest: it joins all tries with patterns and
  contexts, neither of which it needs, and without that takes a quarter of the time.
- **record_many, folded.** All goes through one interpreter lock: the caller's part and that of
  folding, which goes on meanwhile (*Record* has the parts); alone, the caller would write 78,000 tries
  a second down. Tried: checking many tries field by field, ids of many
  at once, filling the events that are returned without their frozen constructor, no looking for
  cycles meanwhile, leaving out what a try does not say (kept); looking for secrets in all texts of a
  batch together, and columns that become lines of the journal and events without bodies in between
  (half the caller's time, kept); fewer checkpoints while tries come, batches read as bytes (a third
  of folding, kept). Of folding the engine takes two thirds, a third of that to read JSON. Tried there:
  columns as JSON from Python (six times as long), more memory for the engine, larger and smaller
  batches (no faster), lines without their numbers (a tenth of the reading), JSON from a file (half,
  but texts would lie in one more file). Threads that wait for their turn a millisecond instead of five
  while the background folds write down a tenth more (kept), and so does a processor that the engine
  leaves to the caller while much is written (kept). Two waits were found by looking what calls
  of more than 0.3 s waited for, and are gone: with each 10,000 tries whose outcome was open the caller
  folded all that was written, one to two seconds, and in a new process it waited for the first fold of
  the background (a fifth of all the time together, kept). Folding only when a burst is over lets half
  as many more be written down, and all of them be folded no later, but who asks amid it waits for all.
- **Disk, an event.** The journal holds all that was told, as JSON that any tool reads, for ever; a
  fold does not shorten it. gzip makes a quarter of a segment, but forgetting writes over records in
  place, and without the journal 125 bytes would be left: 50 in the tables, 75 in the rows by key that
  `predict` and `trend` read. For patterns, embeddings in 16 bits were tried and kept (5.2 to 3.9 KB);
  16-bit integers with a common scale lose a sixth of what 16-bit floats lose.
- **Start without a keeper.** Loading NumPy, DuckDB, the model and its tokenizer: the parts of *Start*.
  Tried: the model beside all else in a thread (1,097 to 890 ms with 100,000 patterns), lean imports,
  methods of records made with the first record, a first trend from the rows by key alone, without
  DuckDB, where its file is as it was closed (a third less, kept).
- **Growth of search.** Ten thousand vectors lie in the processor's cache, a million do not. Tried:
  an index with near vectors side by side (no faster), inner products instead of cosines (half the
  time of the index, kept), 64 candidates instead of 96 (a quarter less, .97 of the ten nearest among
  100,000 and not .98; kept), integers of a scale that fills them (no faster, but where embeddings lean
  to one side usearch's own lose up to a third of the nearest; kept).
- **Growth of trend.** A pattern with a hundred times the tries has more days. Tried: a continued
  fraction as long as the tries ask for (no more), an expansion by cumulants, ends of all intervals
  interpolated between exact ones (off by 4e-10; half of trend, kept), looking only at segments of the
  journal that may still grow (a third of a millisecond with ten million tries, kept).
- **Bulk import.** The model has every processor busy, 1.96 of two: what is written, folded and indexed
  meanwhile takes its time from it, and that is 1.2 seconds of processor time beside 17 of embedding
  4,000 texts, so that none takes less than 1.07 times. The faster the model, the larger a part of an
  import that is. Tried: more texts at a time (a twentieth at most), two callers that embed on one
  processor each (a twentieth to a third more texts a second than one on two, but the model twice).
- **Beside the file-based memory.** With the model whatworks embeds a new text, and is seven to eight
  times faster; asked again, a text is found 100 times faster. A client starts in what Python takes to
  import it: `dataclasses`, `pathlib`, `typing` and `socket` alone take four fifths of that, and most of
  its memory is the standard library, the classes of what is returned and the codec (what secrets look
  like is loaded when a text may hold one: a fiftieth less, kept). The files take ten
  times as long to be read with ten times the patterns, and a client starts as before.
- **Beside vector stores.** Bare indexes are faster: for row numbers alone hnswlib takes two fifths of
  the time of whatworks, qdrant-edge half and usearch two thirds. Of it the index takes half, and longer
  where other work has taken the processor's cache meanwhile: behind an embedding the search alone takes
  longer than `find_similar(vector=...)`, asked again and again, with all else in it (*floors* above).
  The rest compares candidates exactly, reads ten patterns with their tries (a fifth) and looks for what
  other processes wrote. Tried: 48 candidates instead of 64 (a tenth less, recall .959 instead of .972),
  fewer to compare exactly (no faster).
- **Beside tables.** SQLite has an index made for each question; whatworks names patterns and contexts
  of events, and computes intervals and the last change with each trend. Tried: numbers of
  `stats` are kept until something is written, and then asked in 3 statements instead of 9 (kept). Of
  the events of a pattern two thirds are the engine's, for twenty columns, two of them lists: late
  materialization, two steps by row numbers (many times as long) and lists as texts were tried, and
  are no faster.
"""
METHOD = """## How it is measured

- Texts are sentences of Debian's package descriptions; vectors are those of the built-in model (384
  numbers), and beyond 100,000 mixtures of two near ones. Tries: a few patterns are used much, most
  seldom; 94 % are resolved; 90 days. A short question has ten words, mostly 16 tokens or fewer.
- Everything is warm unless it says *start*, and asked of a process of its own; each question but
  the repeated ones is about something else. Subjects that are compared are open at the same time
  and asked in turn, a few questions each, so that other work on the machine meets all alike.
- Times are wall time of the caller. *Load* is that of the last minute when the figure was taken:
  with more than 2 on two cores, times are too long, unless the run had priority (*niceness* below
  zero, at the end): then other work got what it left.
- A start is from `python` to the answer, less a Python that does nothing, in turn; the first round
  does not count.
- Memory is anonymous memory (RssAnon), less that of a Python that does nothing: pages of files may
  be dropped at any time. A client's is what import, `Memory.open` and one trend add to a process
  that had imported nothing; import and open alone are listed too. A keeper's is read from outside
  after another process has asked it a thousand mixed questions.
- Bytes per pattern: all files after adding and `flush`. Bytes per event: what all files grow by
  when tries are recorded in contexts that are known, and folded. A new context costs its text, its
  embedding and its vector, and is listed as bytes per context.
- `record_many, folded` counts from the first call until all are in the evidence, so it contains the
  writing.
- `make bench-smoke` also counts statements of DuckDB, calls of Python functions and bytes of the
  journal for each hot question, and fails when they grow: that does not depend on the load.
"""


def write(page: Path = PAGE, file: Path = results.FILE) -> None:
    """The page and its pictures, anew; ``SystemExit`` if nothing was measured."""
    runs = results.latest_parts("full", file)
    if not runs:
        raise SystemExit(f"there are no results in {file}: make bench")
    pictures = charts.write(page.parent / "pictures", runs)
    page.write_text(made(runs, pictures))
    print(f"wrote {page}")


def made(runs: Runs, pictures: Sequence[str] = ()) -> str:
    """The page; ``pictures`` are the names of those that were drawn."""
    parts = [INTRODUCTION, _goals(runs), MACHINES]
    for begin, (title, what, unfair) in COMPARISONS.items():
        tables = [f"{size}:\n\n{table}" for size, table in _pivots(runs, begin)]
        if tables:
            drawn = [f"![{title}](pictures/{name})" for name in pictures if begin in name]
            parts.append(
                "\n\n".join([f"## {title}", what, *drawn, *tables, f"Unfair: {unfair}"]) + "\n"
            )
    parts.append(_growth(runs, pictures))
    if rest := _rest(runs):
        parts.append(rest)
    return "\n".join([*parts, MISSES, METHOD, *([_circumstances(runs)] if runs else [])])


# ---------------------------------------------------------------- goals
def _goals(runs: Runs) -> str:
    found = {goal: goal.figure(runs) for goal in GOALS}
    measured = {goal: figure for goal, figure in found.items() if figure is not None}
    met = sum(goal.factor(figure) <= 1 for goal, figure in measured.items())
    rows, about = [], ""
    for goal, figure in found.items():
        rows.append(["" if goal.about == about else goal.about, *_goal(goal, figure)])
        about = goal.about
    columns = ["", "", "goal", "p50", "p95", "load", ""]
    table = markdown(columns, ["---", "---", "---:", "---:", "---:", "---:", "---"], rows)
    missed, rest = len(measured) - met, len(found) - len(measured)
    return f"## Goals: {met} met, {missed} missed, {rest} not measured\n\nOn two cores.\n\n{table}"


def _goal(goal: Goal, figure: Figure | None) -> list[str]:
    sign = "≥" if goal.at_least else "≤"
    name, limit = goal.name, f"{sign} {number(goal.limit)} {goal.unit}".rstrip()
    if figure is None:
        return [name, limit, "", "", "", "not measured"]
    if figure.note:
        name += f" ({figure.note})"
    factor = goal.factor(figure)
    said = "met" if factor <= 1 else f"MISSED, {factor:.2f} times"
    p95 = "" if figure.p95 is None else number(figure.p95)
    return [name, limit, number(figure.value), p95, f"{figure.load:.1f}", said]


# ---------------------------------------------------------------- figures
def _pivots(runs: Runs, begin: str) -> Iterator[tuple[str, str]]:
    """A table for each part of a kind: figures in lines, subjects beside each other."""
    for part, run in runs.items():
        if not part.startswith(begin):
            continue
        known = [result for result in run.results if result.p50 == result.p50]
        subjects = list(dict.fromkeys([OURS, *(result.subject for result in known)]))
        yield known[0].size, _beside({subject: _of(known, subject) for subject in subjects})
        left = [f"{r.subject}: {r.metric}" for r in run.results if r.p50 != r.p50]
        if left:
            yield "Not measured", "\n".join(f"- {line}" for line in left) + "\n"


def _of(found: Sequence[Result], subject: str = OURS) -> dict[str, Result]:
    return {result.metric: result for result in found if result.subject == subject}


def _beside(columns: Mapping[str, Mapping[str, Result]]) -> str:
    units = {metric: result.unit for known in columns.values() for metric, result in known.items()}
    rows = [
        [
            f"{metric}, {unit}" if unit else metric,
            *(_cell(known.get(metric)) for known in columns.values()),
        ]
        for metric, unit in units.items()
    ]
    return markdown(["p50 (p95)", *columns], ["---", *["---:"] * len(columns)], rows)


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    return number(result.p50) + ("" if result.p95 is None else f" ({number(result.p95)})")


def _growth(runs: Runs, pictures: Sequence[str]) -> str:
    """Questions, memory and filling with each size beside the others."""
    drawn = [f"![Growth](pictures/{name})\n" for name in pictures if "growth" in name]
    text = ["## Growth\n", *drawn]
    for begin, title in (("ask", "Questions"), ("keep", "Memory of a keeper"), ("fill", "Filling")):
        known = {run.results[0].size: _of(run.results) for run in _sized(runs, begin)}
        text.append(f"### {title}\n\n{_beside(known) if known else 'Not measured.'}")
    return "\n".join(text)


def _sized(runs: Runs, begin: str) -> list[Run]:
    return [runs[name] for size in charts.SIZES if (name := f"{begin}-{size}") in runs]


def _rest(runs: Runs) -> str:
    names = [name for name in ("floors", "start", "record", "rebuild", "embedding") if name in runs]
    tables = [
        f"### {name.capitalize()}: {runs[name].results[0].size}\n\n"
        + _beside({"": _of(runs[name].results)})
        for name in names
    ]
    return "\n".join(["## Parts of a question, start, writing, embedding\n", *tables]) if tables else ""


def _circumstances(runs: Runs) -> str:
    rows = [
        [name, f"{run.at:%Y-%m-%d}", run.commit, f"{run.seconds:,.0f}",
         f"{run.load_before:.1f}", f"{run.load_after:.1f}"]
        for name, run in runs.items()
    ]  # fmt: skip
    columns = ["part", "measured on", "commit", "seconds", "load before", "after"]
    table = markdown(columns, ["---", "---", "---", "---:", "---:", "---:"], rows)
    places = "\n".join(sorted({f"- {run.machine}. {run.versions}." for run in runs.values()}))
    return f"## When and where\n\n{places}\n\n{table}"
