"""What the inspector serves of others is what was fetched, and its parts are plain functions."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from whatworks.errors import InvalidInputError
from whatworks.records import ChangePoint, ContextMap, ContextPoint, Contribution, Explanation
from whatworks.trends import DaySum, trend
from whatworks.ui import charts, words
from whatworks.ui.asked import Asked, fields
from whatworks.ui.figures import rates
from whatworks.ui.views.health import Latencies

ROOT = Path(__file__).parents[2]
SERVED = Path(str(resources.files("whatworks.ui"))) / "static"
FOLDERS = (SERVED / "vendor", ROOT / "tests" / "browser" / "vendor")


@pytest.mark.parametrize("folder", FOLDERS, ids=["served", "for tests"])
def test_every_file_of_others_has_the_hash_that_was_written_down(folder: Path) -> None:
    listed = json.loads((folder / "vendored.json").read_text())
    for item in listed:
        assert hashlib.sha256((folder / item["file"]).read_bytes()).hexdigest() == item["sha256"]
    assert {item["file"] for item in listed} | {"vendored.json"} == {
        path.name for path in folder.iterdir()
    }


def test_the_notice_names_every_package_that_is_shipped_with_its_licence() -> None:
    notice = (ROOT / "NOTICE").read_text()
    for item in json.loads((SERVED / "vendor" / "vendored.json").read_text()):
        assert f"{item['package']} {item['version']}" in notice and item["licence"] in notice
    fetched = (ROOT / "scripts" / "vendor-ui").read_text()
    for item in json.loads((SERVED / "vendor" / "vendored.json").read_text()):
        assert f'"{item["version"]}"' in fetched and item["file"] in fetched


def test_our_own_files_ask_nobody_for_anything() -> None:
    for path in [*SERVED.glob("*.*"), *SERVED.parent.glob("templates/*.html")]:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|@import|eval\(|\.innerHTML", text), path


def test_without_the_extra_the_command_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['starlette'] = sys.modules['uvicorn'] = None\n"
        "from whatworks.cli import app; app(['ui', '--store', sys.argv[1]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode and "pip install 'whatworks[ui]'" in done.stderr


# -- what is asked --------------------------------------------------------------------------------


def test_fields_are_read_once_and_the_last_stands() -> None:
    assert fields("a=1&a=2&b=&c=%20x") == {"a": "2", "b": "", "c": " x"}
    asked = Asked(
        {
            "text": " \x1b[31mred\x1b[0m ",
            "day": "2026-03-01",
            "n": "7",
            "t": "2026-03-01T10:00:00+02:00",
        }
    )
    assert asked.text("text") == "red"
    assert asked.time("day").isoformat() == "2026-03-01T00:00:00+00:00"  # type: ignore[union-attr]
    assert asked.time("t").utcoffset().total_seconds() == 7_200  # type: ignore[union-attr]
    assert (asked.count("n", 1, most=9), asked.count("none", 3, most=9)) == (7, 3)
    for wrong in ("-1", "1e3", "\u0663", "9" * 30, "10"):
        with pytest.raises(InvalidInputError, match="n is "):
            Asked({"n": wrong}).count("n", 1, most=9)


# -- figures --------------------------------------------------------------------------------------


def test_a_rate_has_an_interval_and_nothing_has_none() -> None:
    nothing, half = rates([(0, 0.0), (10, 0.5)])
    assert nothing is None and half is not None
    assert half.low < half.mean == 0.5 < half.high
    assert half.low == pytest.approx(1 - half.high)
    assert rates([]) == []


def test_latencies_are_told_by_page_and_old_ones_go() -> None:
    times = Latencies(keep=4)
    for taken in (99.0, 1.0, 2.0, 3.0, 10.0):
        times.add("/", taken)
    (row,) = times.pages()
    assert (row.requests, row.median_ms, row.p95_ms, row.longest_ms) == (4, 2.0, 10.0, 10.0)


def test_words_never_show_a_number_that_is_not_known() -> None:
    assert {words.percent(None), words.points(None), words.signed(None), words.when(None)} == {"\u2013"}
    assert words.percent(0.125) == "12\xa0%" and words.points(-0.0314) == "-3.1"
    assert words.short("a  b\nc" * 100, 10) == "a b ca b…"
    assert [words.bytes_(n) for n in (0, 999, 1_500, 2e6, 3e9)] == [
        "0\xa0B", "999\xa0B", "1.5\xa0kB", "2.0\xa0MB", "3.0\xa0GB"
    ]  # fmt: skip


# -- charts ---------------------------------------------------------------------------------------


def found_trend(change: ChangePoint | None = None) -> Any:
    from dataclasses import replace
    from datetime import date

    days = [DaySum(date(2026, 3, n), 2, n % 3, float(n % 2 and n % 3)) for n in range(1, 9)]
    return replace(trend("p", days, 7), change_point=change)


def test_a_band_is_stacked_from_its_lower_to_its_upper_end() -> None:
    found = found_trend()
    option = charts.trend(found)
    assert option is not None
    line, low, width, _ = option["series"]
    for point, under, over, day in zip(
        line["data"], low["data"], width["data"], reversed(found.days), strict=True
    ):
        assert under[1] <= point["value"][1] <= under[1] + over[1]
        assert under[1] + over[1] == pytest.approx(100 * day.moving_high, abs=0.1)
        assert f"{day.moving_count:,} outcome" in point["name"]


def test_a_change_point_is_drawn_where_it_is() -> None:
    from datetime import UTC, datetime

    change = ChangePoint(datetime(2026, 3, 4, tzinfo=UTC), 3.0, 0.2, 4.0, 0.9)
    option = charts.trend(found_trend(change))
    assert option is not None
    assert option["series"][0]["markLine"]["data"] == [{"xAxis": "2026-03-04"}]


def test_the_parts_of_a_sum_each_begin_where_the_last_one_ended() -> None:
    parts = tuple(
        Contribution(kind, value, 1.0)  # type: ignore[arg-type]
        for kind, value in (("record", 0.3), ("population", 0.4), ("tries", -0.2))
    )
    option = charts.contributions(Explanation("p", 0.5, False, parts))
    assert option is not None
    starts, sizes = (series["data"] for series in option["series"])
    ends = [(start, round(start + size["value"], 1)) for start, size in zip(starts, sizes, strict=True)]
    assert ends[::-1] == [(0.0, 40.0), (40.0, 70.0), (50.0, 70.0), (0.0, 50.0)]
    colours = [size["itemStyle"]["color"] for size in sizes][::-1]
    assert colours == ["--muted", "--good", "--bad", "--accent"]


def test_a_context_is_told_apart_by_shape_and_not_by_colour_alone() -> None:
    points = tuple(
        ContextPoint(str(n), f"context {n}", 1, mean, float(n), 0.0)
        for n, mean in enumerate((0.0, 0.5, 1.0))
    )
    option = charts.contexts(ContextMap("p", 3, 0.9, points))
    assert option is not None
    assert {series["name"]: (series["symbol"], len(series["data"])) for series in option["series"]} == {
        "worked": ("circle", 1),
        "partly": ("diamond", 1),
        "failed": ("triangle", 1),
    }


def test_nothing_to_draw_is_no_chart() -> None:
    empty: Any = SimpleNamespace(bins=(), days=(), change_point=None, window_days=7)
    assert charts.trend(empty) is None
    assert charts.compare(empty, empty, ("a", "b")) is None
    assert charts.reliability(empty) is None
    assert charts.answers([], 0.5) is None
    assert charts.contributions(Explanation("p", 0.5, False, ())) is None
    assert charts.contexts(ContextMap("p", 0, 0.0, ())) is None
