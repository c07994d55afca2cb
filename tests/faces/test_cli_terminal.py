"""What reaches the terminal: nothing hostile, nothing wider than it, colours only where wanted."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import Result

from whatworks import Memory, TrendDay
from whatworks.cli import show
from whatworks.cli.chart import chart
from whatworks.testing import HashEmbedder

Run = Callable[..., Result]

# Markup, emoji names, right-to-left marks, wide and combining characters, lines, a link.
HOSTILE = (
    "[bold red]x[/] [link=http://e]y[/link] [/] :smile: \u200f日本語 e\u0301 a\tb\nc " + "long " * 60
)
WHATWORKS = str(Path(sys.executable).parent / "whatworks")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A store whose every text tries something."""
    path = tmp_path / "hostile"
    with Memory.open(path, embedder=HashEmbedder(), vectors="exact") as memory:
        pattern = memory.add_pattern(HOSTILE, pattern_type="[red]t[/]", pattern_id="[p]" + "i" * 400)
        memory.record(pattern.pattern_id, outcome=1.0, context=HOSTILE, event_id="[e]")
        memory.predict(HOSTILE)
        (path / "id").write_text(memory.predict("x").prediction_id)
    return path


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("command", ["patterns", "events", "why", "trend", "stats"])
def test_hostile_texts_are_shown_as_they_are_and_within_the_terminal(
    run: Run, hostile: Path, command: str, columns: int
) -> None:
    words = {"why": [(hostile / "id").read_text()], "trend": ["[p]" + "i" * 400]}.get(command, [])
    result = run(command, *words, "--store", hostile, columns=columns)
    assert result.exit_code == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", result.stdout)
    if command != "stats":
        assert "[bold" in result.stdout
    for line in result.stdout.splitlines():
        # Sentences are left to the terminal to wrap; tables are cut to its width.
        if not line.startswith(("context: ", "too little data")):
            assert cell_len(line.rstrip()) <= columns, line


def test_characters_that_only_older_files_can_hold_are_not_printed() -> None:
    assert show.one_line("a\x1b[31mb\x07\x9bc\u202ed\ud800\r\ne\x00") == "abcd e"


def test_long_texts_end_in_an_ellipsis_and_numbers_stand_to_the_right(run: Run, filled: Any) -> None:
    lines = run("patterns", "--store", filled.path, columns=60).stdout.splitlines()
    assert any(line.rstrip().endswith("…") and "Search for" in line for line in lines)
    head = lines[0]
    row = next(line for line in lines if "0.80" in line)
    assert row.index("0.80") + 4 == head.index("worked") + len("worked")
    assert row.index("30") + 2 == head.index("tries") + len("tries")


def on_a_terminal(*words: str, env: dict[str, str]) -> str:
    """What a command prints on a terminal of 80 columns."""
    master, slave = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    child = subprocess.Popen(
        [WHATWORKS, *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=clean | {"TERM": "xterm"} | env,
    )
    os.close(slave)
    printed = b""
    while True:
        try:
            block = os.read(master, 65_536)
        except OSError:  # the other side is closed
            break
        if not block:
            break
        printed += block
    os.close(master)
    assert child.wait() == 0
    return printed.decode()


def test_colours_are_for_terminals_that_want_them(run: Run, filled: Any) -> None:
    words = ["trend", filled.imports, "--store", str(filled.path)]
    assert "\x1b[" in on_a_terminal(*words, env={})
    assert "\x1b[3" not in on_a_terminal(*words, env={"NO_COLOR": "1"})
    assert "\x1b" not in on_a_terminal(*words, env={"TERM": "dumb"})
    assert "\x1b" not in run(*words).stdout


def test_json_on_a_terminal_is_the_same_json(filled: Any, run: Run) -> None:
    words = ["patterns", "--store", str(filled.path), "--json"]
    assert on_a_terminal(*words, env={}).replace("\r\n", "\n") == run(*words).stdout


def test_a_terminal_without_unicode_gets_the_rest(filled: Any) -> None:
    done = subprocess.run(
        [WHATWORKS, "trend", filled.imports, "--store", str(filled.path)],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
        capture_output=True,
        check=True,
    )
    printed = done.stdout.decode("ascii")
    assert "1.0 |" in printed and " o mean of the day" in printed
    assert "?" not in printed


# -- the chart ------------------------------------------------------------------------------------


def day(n: int, mean: float | None, moving: tuple[float, float, float] | None) -> TrendDay:
    moving_avg, low, high = moving or (None, None, None)
    return TrendDay(
        day=date(2026, 1, 1) + timedelta(days=n),
        usage_count=1,
        resolved_count=int(mean is not None),
        avg_success=mean,
        low=mean,
        high=mean,
        moving_count=1,
        moving_avg=moving_avg,
        moving_low=low,
        moving_high=high,
    )


def drawn(days: list[TrendDay], width: int = 80) -> list[str]:
    return chart(days, width=width, window_days=7).plain.splitlines()


def test_a_chart_puts_points_line_and_band_where_they_belong() -> None:
    lines = drawn([day(0, 1.0, (0.5, 0.2, 0.8))], width=6)
    column = [line[5:6].strip() or " " for line in lines[:11]]
    assert "".join(column) == "● ░░░━░░░  "
    assert lines[11] == "    └─"


def test_a_day_without_use_is_a_gap_of_its_width() -> None:
    lines = drawn([day(3, 1.0, None), day(0, 1.0, None)], width=29)
    assert lines[0] == "1.0 ┤   ●                 ●  "


def test_a_day_without_outcomes_has_no_point() -> None:
    assert "●" not in "".join(drawn([day(0, None, None)])[:11])


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("span", [1, 2, 10, 74, 75, 76, 400])
def test_a_chart_fits_its_width_and_keeps_the_newest_days(width: int, span: int) -> None:
    lines = drawn([day(n, 0.5, (0.5, 0.4, 0.6)) for n in reversed(range(span))], width)
    assert max(map(len, lines[:12])) <= width
    assert lines[5].rstrip().endswith("●") or lines[5].rstrip().endswith("━")
    if width >= 40:
        assert str(date(2026, 1, 1) + timedelta(days=span - 1)) in lines[12]


# -- numbers --------------------------------------------------------------------------------------


def test_numbers_have_one_form_each() -> None:
    assert show.interval(0.715, 0.41, 0.934) == "0.71 (0.41-0.93)"
    assert show.interval(None, None, None) == show.number(None) == show.when(None) == "-"
    assert show.count(1_234_567) == "1,234,567"
    assert [show.size(n) for n in (0, 999, 1_000, 12_345_678, 5e12, 5e15)] == [
        "0 B", "999 B", "1.0 kB", "12.3 MB", "5.0 TB", "5000.0 TB",
    ]  # fmt: skip
    assert show.spark([0.0, 0.5, None, 1.0]) == "▁▅ █"
