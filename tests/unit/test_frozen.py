from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from copy import copy, deepcopy
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from datetime import date
from inspect import signature
from typing import Any

import pytest

from whatworks import findings, frozen, ledgers, records
from whatworks.frozen import copier, maker
from whatworks.records import TrendDay, UsageEvent

DAY = TrendDay(date(2026, 5, 1), 2, 1, 1.0, 0.5, 1.0, 1, 1.0, 0.5, 1.0)


def test_what_is_made_is_what_its_class_makes() -> None:
    made = maker(TrendDay)(*(getattr(DAY, field.name) for field in fields(TrendDay)))
    assert type(made) is TrendDay
    assert made == DAY
    assert hash(made) == hash(DAY)
    assert repr(made) == repr(DAY)
    assert pickle.loads(pickle.dumps(made)) == deepcopy(made) == DAY


def test_what_is_made_is_frozen() -> None:
    made = maker(TrendDay)(*range(len(fields(TrendDay))))
    with pytest.raises(FrozenInstanceError):
        made.day = date(2026, 5, 2)  # type: ignore[misc]


def test_all_fields_are_to_be_given() -> None:
    with pytest.raises(TypeError):
        maker(UsageEvent)("e", "p")


def test_a_copy_has_another_value_of_one_field() -> None:
    copied = copier(TrendDay, "day")(DAY, date(2026, 5, 2))
    assert copied == replace(DAY, day=date(2026, 5, 2))
    assert type(copied) is TrendDay
    with pytest.raises(ValueError):
        copier(TrendDay, "month")


# -- classes whose methods are made when they are needed ----------------------------------------------


class Shape:
    """A shape."""

    name: str
    corners: int = 3
    tags: list[str] = field(default_factory=list, compare=False)

    @property
    def is_round(self) -> bool:
        """Whether it has no corners."""
        return not self.corners


def late() -> Any:
    """A class like ``Shape`` of which nothing is made yet."""
    return frozen.dataclass(frozen=True, slots=True)(type("Shape", (), dict(vars(Shape))))


EARLY: Any = dataclass(frozen=True, slots=True)(type("Shape", (), dict(vars(Shape))))


def test_a_class_is_a_dataclass_before_anything_of_it_is_made() -> None:
    assert is_dataclass(late())
    assert [(f.name, f.type, f.compare) for f in fields(late())] == [
        (f.name, f.type, f.compare) for f in fields(EARLY)
    ]
    assert signature(late()) == signature(EARLY)
    assert late().__match_args__ == EARLY.__match_args__
    assert late().__doc__ == EARLY.__doc__


def test_the_first_record_is_made_like_all_others() -> None:
    kind = late()
    first, other = kind("a", tags=["x"]), kind("a", 3)
    assert (first.name, first.corners, first.tags, first.is_round) == ("a", 3, ["x"], False)
    assert first == other != kind("b")
    assert repr(first) == repr(EARLY("a", tags=["x"]))
    assert replace(first, corners=0).is_round
    assert asdict(first) == {"name": "a", "corners": 3, "tags": ["x"]}
    assert copy(first) == deepcopy(first) == first
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        late()()


@pytest.mark.parametrize("name", ["name", "other"])
def test_the_first_record_is_frozen(name: str) -> None:
    record = late()("a")
    with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(record, name, "b")
    with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(record, name)
    assert not hasattr(record, "__dict__")


def test_a_record_can_be_read_where_none_was_made() -> None:
    code = """
import pickle, sys
one, other = (pickle.loads(sys.stdin.buffer.read(size)) for size in map(int, sys.argv[1:]))
assert one == other and hash(one) == hash(other), one
print(one)
"""
    pickled = [pickle.dumps(DAY), pickle.dumps(replace(DAY))]
    command = [sys.executable, "-c", code, *(str(len(each)) for each in pickled)]
    done = subprocess.run(command, input=b"".join(pickled), capture_output=True, check=True)
    assert done.stdout.decode().strip() == repr(DAY)


def test_a_class_has_all_that_the_standard_library_gives_one() -> None:
    standard = dataclass(frozen=True, slots=True)(type("Shape", (), dict(vars(Shape))))
    shape = late()
    shape("square")
    # Python 3.11.2 leaves the one of the class without slots, which is of no use.
    assert vars(standard).keys() - {"__weakref__"} <= vars(shape).keys()


def test_fields_of_a_subclass_are_kept_with_those_of_its_base() -> None:
    @dataclass(frozen=True)
    class Coloured(late()):  # type: ignore[misc]
        colour: str = "red"

    blue = Coloured("square", 4, colour="blue")
    assert copy(blue) == blue
    assert copy(blue).colour == "blue"


def test_threads_may_make_the_first_records_at_once() -> None:
    for _ in range(20):
        kind, made = late(), list[Any]()
        threads = [threading.Thread(target=lambda k=kind, m=made: m.append(k("a"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [kind("a")] * 8


def test_every_record_is_a_frozen_dataclass_with_slots() -> None:
    kinds = [
        kind
        for module in (records, findings, ledgers)
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__
    ]
    assert len(kinds) > 50
    for kind in kinds:
        names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
        assert kind.__slots__ == tuple(names)  # type: ignore[attr-defined]
        assert list(signature(kind).parameters) == names
