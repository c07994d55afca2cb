"""Vector stores, one engine a file, found by name."""

from whatworks.stores.base import CanConnect, CanFilter, CanIterate, CanMaintain, Hits, VectorStore
from whatworks.stores.registry import engine_class, open_store, remove_store

__all__ = [
    "CanConnect",
    "CanFilter",
    "CanIterate",
    "CanMaintain",
    "Hits",
    "VectorStore",
    "engine_class",
    "open_store",
    "remove_store",
]
