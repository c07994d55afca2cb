"""docs/scale.md shows what the benchmarks that are kept give."""

from __future__ import annotations

from pathlib import Path

from benchmarks import scale

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def test_the_page_shows_what_was_measured() -> None:
    assert "\n".join(scale.paper()) in PAGE.read_text()
