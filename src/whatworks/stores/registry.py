"""Which engine goes by which name."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from whatworks.errors import InvalidInputError
from whatworks.stores.base import VectorStore

__all__ = ["engine_class", "engines", "open_store"]

GROUP = "whatworks.stores"
# The engines of the core are known by heart: asking the installed packages costs 20 ms.
_CORE = {"exact": ("exact", "ExactStore"), "lance": ("lance", "LanceStore")}


def engines() -> list[str]:
    """Names of all engines that are installed."""
    return sorted(_CORE.keys() | {point.name for point in entry_points(group=GROUP)})


def open_store(engine: str, path: Path, *, dim: int) -> VectorStore:
    """Open the store of ``engine`` in the folder ``path``, empty if there is none.

    Raises
    ------
    InvalidInputError
        No engine has this name.
    """
    return engine_class(engine)(path, dim=dim)


def engine_class(engine: str) -> type[VectorStore]:
    """The class that goes by the name ``engine``.

    Raises
    ------
    InvalidInputError
        No engine has this name.
    """
    if not isinstance(engine, str):
        raise InvalidInputError(f"vectors is {engine!r}; expected the name of an engine")
    if engine in _CORE:
        module, name = _CORE[engine]
        kind = getattr(import_module(f"whatworks.stores.{module}"), name)
    else:
        found = [point for point in entry_points(group=GROUP) if point.name == engine]
        if not found:
            raise InvalidInputError(
                f"there is no vector store {engine!r}; installed are {', '.join(engines())}"
            )
        kind = found[0].load()
    checked: type[VectorStore] = kind
    return checked
