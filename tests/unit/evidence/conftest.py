from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.log import fill_lookup
from whatworks.evidence import Evidence


@pytest.fixture
def open_evidence(tmp_path: Path) -> Iterator[Callable[[str], Evidence]]:
    opened: list[Evidence] = []

    def open_(name: str) -> Evidence:
        opened.append(fill_lookup(Evidence(tmp_path / f"{name}.duckdb")))
        return opened[-1]

    yield open_
    for evidence in opened:
        evidence.close()


@pytest.fixture
def evidence(open_evidence: Callable[[str], Evidence]) -> Evidence:
    return open_evidence("evidence")
