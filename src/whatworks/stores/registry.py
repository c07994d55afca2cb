"""Which engine goes by which name, and where its stores lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from whatworks.errors import InvalidInputError
from whatworks.stores.base import CanConnect, VectorStore, missing

__all__ = [
    "engine_class",
    "engines",
    "lent",
    "loaded",
    "open_store",
    "remove_store",
    "server",
    "versions",
]

GROUP = "whatworks.stores"
# The engines of this package are known by heart: asking the installed packages costs 20 ms.
_OWN = {
    "chroma": ("chroma", "ChromaStore"),
    "exact": ("exact", "ExactStore"),
    "lance": ("lance", "LanceStore"),
    "omendb": ("omendb", "OmenStore"),
    "qdrant": ("qdrant", "QdrantStore"),
    "usearch": ("usearch", "UsearchStore"),
}
_LENT: dict[str, type[VectorStore]] = {}


@contextmanager
def lent(engine: str, kind: type[VectorStore]) -> Iterator[None]:
    """An engine for as long as the block runs, without a package that brings it: for tests."""
    _LENT[engine] = kind
    try:
        yield
    finally:
        del _LENT[engine]


def engines() -> list[str]:
    """Names of all engines; some may need an extra that is not installed."""
    from importlib.metadata import entry_points

    return sorted(_OWN.keys() | {point.name for point in entry_points(group=GROUP)})


def open_store(vectors: str, path: Path, *, dim: int, name: str = "") -> VectorStore:
    """Open a store, empty if there is none.

    Parameters
    ----------
    vectors
        An engine, as ``"lance"``, or an engine and a server, as
        ``"qdrant+https://host:6333"``.
    path
        Folder of the store, if it lies on this machine.
    name
        What it is called on the server, if it lies there.

    Raises
    ------
    InvalidInputError
        No engine has this name, or it has no servers.
    MissingExtraError
        Its packages are not installed.
    """
    kind, url = engine_class(vectors), server(vectors)
    if url is None:
        return kind(path, dim=dim)
    assert isinstance(kind, CanConnect)
    return kind.connect(url, name, dim=dim)


def remove_store(vectors: str, path: Path, *, name: str = "") -> None:
    """Remove a store and all that it holds, if it is there."""
    url = server(vectors)
    import shutil

    shutil.rmtree(path, ignore_errors=True)
    if url is not None and name:
        kind = engine_class(vectors)
        assert isinstance(kind, CanConnect)
        kind.remove(url, name)


def server(vectors: str) -> str | None:
    """The address in ``engine+address``; ``None`` for a store in a folder."""
    return vectors.partition("+")[2] or None


def engine_class(vectors: str) -> type[VectorStore]:
    """The class of the engine in ``vectors``; see ``open_store`` for what is raised."""
    if not isinstance(vectors, str):
        raise InvalidInputError(f"vectors is {vectors!r}; expected the name of an engine")
    engine, plus, url = vectors.partition("+")
    kind = loaded(engine)
    if plus and not (isinstance(kind, CanConnect) and "://" in url):
        raise InvalidInputError(
            f"vectors is {vectors!r}; expected an engine that has servers, and an address: "
            "qdrant+https://host:6333"
        )
    if None in versions(kind).values():
        raise missing(engine)
    return kind


def loaded(engine: str) -> type[VectorStore]:
    """The class of an engine, whether its packages are installed or not."""
    if engine in _OWN:
        module, name = _OWN[engine]
        kind = getattr(import_module(f"whatworks.stores.{module}"), name)
    elif engine in _LENT:
        kind = _LENT[engine]
    else:
        from importlib.metadata import entry_points

        found = [point for point in entry_points(group=GROUP) if point.name == engine]
        if not found:
            raise InvalidInputError(
                f"there is no vector store {engine!r}; known are {', '.join(engines())}"
            )
        kind = found[0].load()
    checked: type[VectorStore] = kind
    return checked


def versions(kind: type[VectorStore]) -> dict[str, str | None]:
    """The installed versions of the packages behind an engine, ``None`` for those that are missing."""
    return {package: _version(package) for package in kind.packages}


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
