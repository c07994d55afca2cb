"""A Ray for all tests of a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from whatworks.bulk import RayPool

# Workers find the embedders of the tests as any module of ours.
HERE = str(Path(__file__).parent)
sys.path.append(HERE)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), HERE]))


@pytest.fixture(scope="session")
def pool() -> Iterator[RayPool]:
    with RayPool(workers=2) as made:
        yield made
