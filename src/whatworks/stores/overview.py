"""Which vector stores there are, and what each can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata

from whatworks.stores.base import CanConnect, CanFilter, CanIterate, CanMaintain, VectorStore
from whatworks.stores.registry import engines, loaded, versions

__all__ = ["StoreKind", "overview"]

# A licence that is longer is its whole text, not its name.
MAX_LICENSE = 60


@dataclass(frozen=True, slots=True)
class StoreKind:
    """A vector store that ``vectors=`` may name.

    ``packages`` has the installed version of each package that it needs,
    null where it is missing; ``install`` is the command that brings those,
    null if none is missing. ``problem`` says why it does not load.
    ``filters``: searches among some ids by itself. ``pages``: lists its ids.
    ``upkeep``: builds an index when it is due. ``server``: may lie on one.
    ``stable_files``: stays as it was flushed while it is only read.
    """

    name: str
    installed: bool
    in_use: bool
    packages: Mapping[str, str | None]
    install: str | None
    license: str | None
    filters: bool
    pages: bool
    upkeep: bool
    server: bool
    stable_files: bool
    problem: str | None


def overview(*, in_use: str | None = None) -> list[StoreKind]:
    """All vector stores by name; ``in_use`` is how a store names the one that it has."""
    used = (in_use or "").partition("+")[0]
    return [_described(name, name == used) for name in engines()]


def _described(name: str, in_use: bool) -> StoreKind:
    try:
        kind = loaded(name)
        packages = versions(kind)
    except Exception as error:  # noqa: BLE001 - a package of others may fail in any way when it is loaded
        return _broken(name, in_use, f"{type(error).__name__}: {error}")
    absent = [package for package, version in packages.items() if version is None]
    return StoreKind(
        name=name,
        installed=not absent,
        in_use=in_use,
        packages=packages,
        install=_command(name, kind, absent) if absent else None,
        license=_license(kind.packages),
        filters=_has(kind, CanFilter),
        pages=_has(kind, CanIterate),
        upkeep=_has(kind, CanMaintain),
        server=_has(kind, CanConnect),
        stable_files=kind.stable_files,
        problem=None,
    )


def _broken(name: str, in_use: bool, problem: str) -> StoreKind:
    return StoreKind(name, False, in_use, {}, None, None, False, False, False, False, False, problem)


def _has(kind: type[VectorStore], ability: type) -> bool:
    """Whether stores of a class have what a protocol asks for; it has methods only."""
    return issubclass(kind, ability)


def _command(name: str, kind: type[VectorStore], absent: list[str]) -> str:
    if kind.__module__.startswith("whatworks."):
        return f"pip install 'whatworks[{name}]'"
    return f"pip install {' '.join(absent)}"


def _license(packages: tuple[str, ...]) -> str | None:
    """The licences that the packages name, each once."""
    named = dict.fromkeys(found for package in packages if (found := _license_of(package)))
    return ", ".join(named) or None


def _license_of(package: str) -> str | None:
    try:
        said = metadata(package)
    except PackageNotFoundError:
        return None
    for field in ("License-Expression", "License"):
        for value in said.get_all(field) or []:
            if len(value) <= MAX_LICENSE and "\n" not in value:
                return str(value)
    kinds = [line for line in said.get_all("Classifier") or [] if line.startswith("License ::")]
    return str(kinds[0].rpartition(" :: ")[2]) if kinds else None
