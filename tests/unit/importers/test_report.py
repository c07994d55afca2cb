from __future__ import annotations

from pathlib import Path

import pytest

from whatworks.importers import Report, Skip, report
from whatworks.importers.report import At
from whatworks.readers.items import printable


def test_report_as_json_has_counts_and_every_skip() -> None:
    found = Report({"rows": 2})
    found.skip(At("t.csv", "row 3"), "is no row")
    assert found.to_dict() == {
        "read": {"rows": 2},
        "written": {"patterns": 0, "events": 0, "priors": 0},
        "skipped": [{"path": "t.csv", "place": "row 3", "reason": "is no row"}],
    }


def test_skips_beyond_the_limit_are_counted_in_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_SKIPS", 3)
    found = Report({"rows": 0})
    for n in range(1, 1_001):
        found.skip(At("t.csv", f"row {n}"), "is no row")
    assert found.skipped[:2] == [Skip("t.csv", f"row {n}", "is no row") for n in (1, 2)]
    assert found.skipped[2:] == [
        Skip("t.csv", "up to row 1000", "998 items from here on; the last one: is no row")
    ]


def test_reports_do_not_share_their_counts() -> None:
    first, second = Report({}), Report({})
    first.written["events"] += 1
    assert second.written["events"] == 0


def test_path_that_is_no_text_is_printable() -> None:
    assert printable(Path("caf\udce9")) == "caf\ufffd"
