"""Reading in this process: so that a test can change the limits of a reader, or read very often."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest

from whatworks.readers import apart, child

__all__ = ["read_here"]


@contextmanager
def read_here() -> Iterator[None]:
    """What is imported meanwhile goes over the same lines of JSON, without another process."""

    def lines(
        reader: str, given: Mapping[str, Any], below: Sequence[str], what: str
    ) -> Iterator[bytes]:
        out = BytesIO()
        child.answer(reader, json.loads(json.dumps(given)), out)
        yield from iter(BytesIO(out.getvalue()).readline, b"")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "lines", lines)
        yield
