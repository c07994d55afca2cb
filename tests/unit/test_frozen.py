from __future__ import annotations

import pickle
from copy import deepcopy
from dataclasses import FrozenInstanceError, fields
from datetime import date

import pytest

from whatworks.frozen import maker
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
