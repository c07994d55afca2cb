"""Are predictions true? ``python -m benchmarks.decisions smoke|full|rivals|report``.

``full`` and ``rivals`` take ``SHARED``, a folder with the scoring harness in
``benchmark/`` and logged decisions in ``data/decisions/``, which may not be
distributed with this project. ``full`` scores the product and writes the page,
``rivals`` scores its rivals into ``rivals.json``, ``report`` writes the page again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import orjson

from benchmarks.decisions import changes, harness, page, rivals, simulated, smoke, system, tables
from benchmarks.decisions.harness import Sizes
from benchmarks.decisions.tables import Figures

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "statistics.md"
RESULTS = ROOT / "benchmarks" / "results" / "decisions.json"


def measure(shared: Path, sizes: Sizes, seeds: int, processes: int) -> Figures:
    """Score the product on the logged decisions and on ``seeds`` simulated stores of a kind."""
    score = partial(harness.score, shared, sizes=sizes, processes=processes)
    ours = score(f"{system.__name__}:make", harness.SUITES)
    has_ucb = hasattr(system, "make_ucb")
    ucb = score(f"{system.__name__}:make_ucb", ["online"])["online"] if has_ucb else []
    run = partial(harness.in_processes, processes=processes)
    breaks = [(n, seed) for n in range(len(changes.BREAKS)) for seed in range(2 * seeds)]
    steady = [(n, seed) for n in range(len(changes.STEADY)) for seed in range(seeds)]
    return Figures(
        ours,
        ucb,
        list(run(simulated.coverage, simulated.stores(seeds))),
        list(run(changes.delay, breaks)),
        list(run(changes.alarms, steady)),
        {},
    )


def save(figures: Figures) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    made = figures._replace(rivals={})._asdict()
    RESULTS.write_bytes(orjson.dumps(made, option=orjson.OPT_SERIALIZE_NUMPY))


def report(document: Path) -> None:
    """Write tables and pictures of what was last measured."""
    if not RESULTS.exists():
        raise SystemExit(f"there is no {RESULTS}: make bench-decisions")
    from benchmarks.decisions import pictures

    figures = Figures(**orjson.loads(RESULTS.read_bytes()))._replace(rivals=rivals.load())
    page.write(document, tables.parts(figures))
    pictures.write(document.parent / "pictures", figures)
    print(f"wrote {document}")


def main(words: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(words)
    match given.command:
        case "smoke":
            for found in smoke.run():
                print(found)
        case "report":
            report(given.page)
        case "full":
            save(measure(given.shared, _sizes(given), given.simulated, given.processes))
            report(given.page)
        case "rivals":
            only = given.only.split(",") if given.only else ()
            run = rivals.run(given.shared, _sizes(given), processes=given.processes, only=only)
            for name in run:
                print(name, flush=True)


def _sizes(given: argparse.Namespace) -> Sizes:
    tasks = tuple(given.tasks.split(",")) if given.tasks else Sizes().tasks
    ns = tuple(int(n) for n in given.ns.split(",")) if given.ns else Sizes().ns
    return Sizes(tasks, ns, given.seeds, given.steps)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.decisions", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("smoke", help="seconds, with bounds that fail when quality falls")
    full, others, again = (commands.add_parser(name) for name in ("full", "rivals", "report"))
    for command in (full, others):
        command.add_argument("shared", type=lambda folder: Path(folder).resolve())
        command.add_argument("--tasks", help="separated by commas; all")
        command.add_argument("--ns", help="numbers of tries, separated by commas; 10 to 3,000")
        command.add_argument("--seeds", type=int, default=Sizes().seeds)
        command.add_argument("--steps", type=int, default=Sizes().steps, help="of a replay online")
        command.add_argument("--processes", type=int, default=2)
    full.add_argument("--simulated", type=int, default=10, help="simulated stores of each kind")
    others.add_argument("--only", help="names of rivals, separated by commas; the others stay")
    for command in (full, again):
        command.add_argument("--page", type=Path, default=PAGE)
    return parser


if __name__ == "__main__":
    main()
