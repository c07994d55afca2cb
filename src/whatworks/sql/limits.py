"""How much a statement may take."""

from __future__ import annotations

from dataclasses import dataclass

from whatworks.checks import shown
from whatworks.errors import InvalidInputError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """At most so many rows, so many seconds, so many bytes of answer and of the engine's memory.

    An answer is cut where ``rows`` or ``bytes`` are reached, and says so; what takes longer or
    needs more memory is refused.
    """

    rows: int = 1_000
    seconds: float = 10.0
    bytes: int = 16 << 20
    memory: int = 256 << 20

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            kinds = float | int if name == "seconds" else int
            if not isinstance(value, kinds) or isinstance(value, bool) or not least <= value <= most:
                raise InvalidInputError(
                    f"{name} is {shown(value)}; expected a number from {least:,} to {most:,}"
                )


_BOUNDS = {
    "rows": (0, 1_000_000),
    "seconds": (0.001, 3_600),
    "bytes": (0, 1 << 30),
    "memory": (1 << 20, 4 << 30),
}
