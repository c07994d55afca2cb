"""What the inspector writes: each form calls one method of ``Memory``, and leads to a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlencode

from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.memory import Memory
from whatworks.ui.asked import Asked

__all__ = ["WRITES", "Write"]


class Write(NamedTuple):
    """A form: where it goes to, and what it does; that returns the address of the next page."""

    name: str
    do: Callable[[Memory, Asked], str]


def _predict(memory: Memory, asked: Asked) -> str:
    made = memory.predict(asked.text("context"), limit=asked.count("limit", 5, most=50))
    return _address("/why", id=made.prediction_id)


def _edit(memory: Memory, asked: Asked) -> str:
    """The same id again: type and description are replaced, the record of the tries is kept."""
    found = memory.get_pattern(asked.needed("id"))
    memory.add_pattern(
        asked.text("description"),
        pattern_type=asked.text("type"),
        metadata=found.metadata,
        pattern_id=found.pattern_id,
    )
    return _address("/pattern", id=found.pattern_id, done="edited")


def _forget(memory: Memory, asked: Asked) -> str:
    found = memory.get_pattern(asked.needed("id"))
    if asked.id("confirm") != found.pattern_id:
        raise InvalidInputError(
            f"typed was {shown(asked.id('confirm'))}; expected the id {shown(found.pattern_id)}, "
            "to be sure; nothing was forgotten"
        )
    memory.forget(found.pattern_id)
    return _address("/search", done="forgotten")


def _distrust(memory: Memory, asked: Asked) -> str:
    memory.distrust(asked.needed("source"))
    return _address("/sources", done="distrusted")


def _approve(memory: Memory, asked: Asked) -> str:
    memory.approve(asked.needed("source"))
    return _address("/sources", done="approved")


def _unjudge(memory: Memory, asked: Asked) -> str:
    memory.unjudge(asked.needed("source"))
    return _address("/sources", done="unjudged")


def _address(path: str, **values: str) -> str:
    return f"{path}?{urlencode(values)}"


WRITES = (
    Write("predict", _predict),
    Write("edit", _edit),
    Write("forget", _forget),
    Write("distrust", _distrust),
    Write("approve", _approve),
    Write("unjudge", _unjudge),
)
