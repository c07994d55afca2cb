"""Frozen records: their methods are made when one is first needed, and many are made in little time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

__all__ = ["copier", "dataclass", "maker"]

T = TypeVar("T")

# What a class has once its methods are made, in an order in which other threads may find it. Python
# 3.13 and later make ``__replace__``.
_MADE = (
    "__repr__",
    "__eq__",
    "__hash__",
    "__replace__",
    "__dataclass_params__",
    "__init__",
    "__dataclass_fields__",
)
# Which of it is asked of the class, and not of a record; signatures are those of ``__init__`` then.
_ASKED = ("__dataclass_params__", "__dataclass_fields__", "__signature__")

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """As ``dataclasses.dataclass``, for frozen classes with slots and without bases.

        Methods of dataclasses are compiled from text, which takes most of a millisecond for each
        class, and a process that asks one question needs few of them. So that is left to whoever
        first makes a record of the class, or asks for its fields.
        """
        assert frozen and slots
        return _slotted


class _Asked:
    """An attribute of a class whose methods have to be made for it."""

    def __init__(self, name: str, make: Callable[[], object]) -> None:
        self._name = name
        self._make = make

    def __get__(self, _: object, kind: type) -> Any:
        self._make()
        return getattr(kind, self._name)


def _slotted(given: type) -> type:
    """The class with slots; ``given`` keeps its defaults."""
    names = tuple(given.__annotations__)
    whole = {k: v for k, v in vars(given).items() if k not in ("__dict__", "__weakref__")}

    def make() -> None:
        alike: Any = type(given.__name__, (), dict(whole))
        made = dataclasses.dataclass(frozen=True)(alike)
        with suppress(AttributeError):  # another thread was first
            del kind.__signature__
        for name in _MADE:
            if name in vars(made):
                setattr(kind, name, vars(made)[name])

    def __init__(self: Any, *values: object, **named: object) -> None:  # noqa: N807
        make()
        kind.__init__(self, *values, **named)

    def __getstate__(self: Any) -> list[object]:  # noqa: N807
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def __setstate__(self: Any, state: list[object]) -> None:  # noqa: N807
        make()  # it may be the first record of its class, read from somewhere
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)

    space = {name: value for name, value in whole.items() if name not in names}
    space |= {"__slots__": names, "__match_args__": names, "__init__": __init__}
    space |= {"__getstate__": __getstate__, "__setstate__": __setstate__}
    space |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    space |= {name: _Asked(name, make) for name in _ASKED}
    kind: Any = type(given.__name__, (), space)
    return cast("type", kind)


def _refuse_to_set(_: object, name: str, value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


@cache
def maker(kind: type[T]) -> Callable[..., T]:
    """What makes a frozen dataclass with slots of all its fields, in order, in a third of the time.

    Its own ``__init__`` sets field by field past ``__setattr__``, which refuses. Here an object of a
    class with the same slots is filled, and then becomes one of ``kind``. That class takes a
    millisecond to make, once.
    """
    names = [field.name for field in dataclasses.fields(cast("Any", kind))]
    unfrozen = dataclasses.make_dataclass(
        f"_{kind.__name__}",
        names,
        namespace={"__doc__": kind.__doc__},  # a third of the time goes into one, where it has none
        slots=True,
        repr=False,
        eq=False,
        match_args=False,
    )

    def made(*values: object) -> T:
        record = unfrozen(*values)
        record.__class__ = kind
        return cast("T", record)

    return made


@cache
def copier(kind: type[T], name: str) -> Callable[[T, object], T]:
    """What copies a record of ``kind`` with another value of one field, in a fifth of the time.

    That is of ``dataclasses.replace``, which looks at each field first.
    """
    whole = cast("Any", kind)
    names = [field.name for field in dataclasses.fields(whole)]
    place, all_of, make = names.index(name), attrgetter(*names), maker(whole)

    def copied(record: T, value: object) -> T:
        values = [*all_of(record)]
        values[place] = value
        return cast("T", make(*values))

    return copied
