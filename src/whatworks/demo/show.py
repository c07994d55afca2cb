"""The demo for people: what is asked, what comes back, how much better it is."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from whatworks.demo.run import Answers, Lift, Result

__all__ = ["show"]

_NAMES = {
    "oracle": "perfect foresight",
    "whatworks": "whatworks",
    "best_single": "best single tool in the log",
    "original_query": "original query (failures filtered out)",
}


def show(
    job: Callable[[Callable[[str, int, int], object]], tuple[Result, Answers]], question: str
) -> None:
    """Run ``job`` under a progress bar and print what it found."""
    console = Console(highlight=False)
    console.print(
        "\n4,000 logged tries of 12 tools on real user requests (CLINC150, CC BY 3.0);\n"
        "their outcomes are drawn from known probabilities.\n"
    )
    start = perf_counter()
    bar = Progress(
        TextColumn("{task.description:>9}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        console=console, transient=True,
    )  # fmt: skip
    with bar:
        tasks: dict[str, Any] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done)

        result, answers = job(progress)
    _show_answers(console, answers, question)
    _show_result(console, result)
    console.print(f"\n{perf_counter() - start:.0f} s in all. Next: README.md, whatworks --help\n")


def _show_answers(console: Console, answers: Answers, question: str) -> None:
    table = Table(title="find_similar('pay a bill')", title_justify="left", box=None)
    for name in ("tool", "distance", "worked", "tries"):
        table.add_column(name, justify="left" if name == "tool" else "right")
    for match in answers.matches:
        distance = "" if match.distance is None else f"{match.distance:.2f}"
        rate = "" if match.success_rate is None else f"{match.success_rate:.2f}"
        table.add_row(match.pattern_id, distance, rate, str(match.usage_count))
    console.print(table, "")
    trend = answers.trend
    latest = trend.days[0]
    change = (
        ""
        if trend.change is None
        else f", {trend.change:+.2f} against the {trend.baseline_days} days before"
    )
    console.print(
        f"trend('banking_tool')\n {trend.direction}: {latest.moving_avg:.2f} over the last "
        f"{trend.window_days} days{change} ({trend.change_low:+.2f} to {trend.change_high:+.2f})\n"
    )
    table = Table(title=f"predict({question!r})", title_justify="left", box=None)
    for name in ("tool", "expected", "80 % interval", "verdict"):
        table.add_column(name, justify="right" if name == "expected" else "left")
    for answer in answers.prediction.answers:
        interval = f"{answer.low:.2f} to {answer.high:.2f}"
        table.add_row(answer.pattern_id, f"{answer.expected:.2f}", interval, answer.verdict)
    console.print(table, "")


def _show_result(console: Console, result: Result) -> None:
    title = f"Mean outcome of the tool chosen, {result.held_out_contexts} requests not in the log"
    table = Table(title=title, title_justify="left", box=None, show_header=False)
    for name, label in _NAMES.items():
        value = result.mean_outcome[name]
        style = "bold" if name == "whatworks" else ""
        table.add_row(label, f"{value:.3f}", "█" * round(30 * value), style=style)
    console.print(table)
    console.print(f"\nagainst the best single tool: {_lift(result.lift_over_best_single)}")
    console.print(f"against the original query:   {_lift(result.lift_over_original_query)}")
    console.print(f"one prediction: {result.predict_ms:.0f} ms (median)")


def _lift(lift: Lift) -> str:
    return f"{lift.mean:+.3f} (95 % interval {lift.low:+.3f} to {lift.high:+.3f})"
