"""Run every loop whose framework is installed over some seeds, and draw how they get better.

    python examples/agents [SEEDS]

prints a table; with matplotlib it also writes ``docs/pictures/agents.svg``.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

from world import TASKS, TOOLS, FakeModel, tasks

from whatworks import WhatWorksError

LOOPS = {
    "without a framework": "plain",
    "LangChain": "langchain_agent",
    "Pydantic AI": "pydantic_ai_agent",
    "OpenAI Agents SDK": "openai_agents_agent",
    "OpenTelemetry spans": "otel_agent",
}
WIDTH = 20  # tasks that are averaged
PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "agents.svg"


def without_memory(seed: int) -> list[bool]:
    """The same model that nobody tells anything."""
    model = FakeModel(seed)
    return [model.choose("") in task.mended_by for task in tasks(seed)]


def best(seed: int) -> list[bool]:
    """The tool that mends most often, for who knows the world."""
    from world import SITUATIONS

    def chosen(text: str) -> str:
        odds = next(odds for situation, odds in SITUATIONS.items() if text.startswith(situation))
        return max(TOOLS, key=lambda tool: odds.get(tool, 0.0))

    return [chosen(task.text) in task.mended_by for task in tasks(seed)]


def curve(runs: list[list[bool]]) -> list[float]:
    """The share of tasks mended, over all runs and windows of tasks."""
    return [
        sum(sum(run[end - WIDTH : end]) for run in runs) / (WIDTH * len(runs))
        for end in range(WIDTH, TASKS + 1)
    ]


def main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    found = {"without memory": [without_memory(seed) for seed in seeds]}
    print(f"{TASKS} tasks, {len(seeds)} seeds, load {os.getloadavg()[0]:.1f}")
    for title, name in LOOPS.items():
        try:
            loop = importlib.import_module(name)
        except (ImportError, WhatWorksError) as error:
            print(f"{title}: left out, {error}")
            continue
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found[title] = [loop.run(Path(folder) / str(seed), seed) for seed in seeds]
        print(f"{title}: {1e3 * (time.perf_counter() - began) / TASKS / len(seeds):.0f} ms a task")
    found["the best tool, known"] = [best(seed) for seed in seeds]
    print(f"\n{'share of tasks mended':24}{'1-50':>8}{'51-100':>8}{'101-150':>8}{'151-200':>8}")
    for title, runs in found.items():
        shares = [
            sum(sum(run[at : at + 50]) for run in runs) / 50 / len(runs) for at in range(0, TASKS, 50)
        ]
        print(f"{title:24}" + "".join(f"{share:8.0%}" for share in shares))
    draw({title: curve(runs) for title, runs in found.items()})


def draw(curves: dict[str, list[float]]) -> None:
    try:
        import matplotlib as mpl
    except ImportError:
        return
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "whatworks"
    from matplotlib import pyplot as plt

    same: dict[tuple[float, ...], list[str]] = {}  # of loops whose curves are the same, one is drawn
    for title, values in curves.items():
        same.setdefault(tuple(values), []).append(title)
    figure, axes = plt.subplots(figsize=(8, 4))
    for values, titles in same.items():
        title = ", ".join(titles)
        aside = title in ("without memory", "the best tool, known")
        axes.plot(
            range(WIDTH, TASKS + 1), values, label=title,
            color="grey" if aside else None, linestyle="--" if aside else "-",
        )  # fmt: skip
    axes.set(
        xlabel="tasks",
        ylabel=f"mended at the first try, {WIDTH} tasks",
        ylim=(0, 1),
        xlim=(WIDTH, TASKS),
    )
    axes.legend(loc="center right", fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None})
    print(f"\n{PICTURE.relative_to(Path.cwd()) if PICTURE.is_relative_to(Path.cwd()) else PICTURE}")


if __name__ == "__main__":
    main()
