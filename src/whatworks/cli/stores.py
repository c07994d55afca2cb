"""The command that lists vector stores."""

from __future__ import annotations

from whatworks import config
from whatworks.cli.common import Json, Store, print_json

__all__ = ["stores"]


def stores(store: Store = None, as_json: Json = False) -> None:
    """List the vector stores there are, and what each of them can do.

    Example: whatworks stores
    """
    from whatworks.cli import stores_view
    from whatworks.stores.overview import overview

    folder = config.locate(store)
    there = store is not None or (folder / config.FILE).exists()
    found = overview(in_use=config.load(folder).vectors if there else None)
    print_json(found) if as_json else stores_view.stores(found)
