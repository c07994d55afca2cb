"""Vector stores, one engine a file, found by name."""

from whatworks.stores.base import (
    CanConnect,
    CanErase,
    CanFilter,
    CanIterate,
    CanMaintain,
    Hits,
    VectorStore,
)
from whatworks.stores.registry import engine_class, open_store, remove_store

__all__ = [
    "CanConnect",
    "CanErase",
    "CanFilter",
    "CanIterate",
    "CanMaintain",
    "Hits",
    "VectorStore",
    "engine_class",
    "open_store",
    "remove_store",
]
