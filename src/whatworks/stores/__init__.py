"""Vector stores, one engine a file, found by name."""

from whatworks.stores.base import CanMaintain, Hits, VectorStore
from whatworks.stores.registry import engine_class, open_store

__all__ = ["CanMaintain", "Hits", "VectorStore", "engine_class", "open_store"]
