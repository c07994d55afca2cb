"""Other memories for agents that work without a key and a network, for ``worker``.

All embed with our model. Nothing is imported before it is needed: that counts as their start and
their memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["PEERS", "LangGraph", "Mem0", "WhatWorks"]

LIMIT = 10


class WhatWorks:
    """Patterns by ``add_pattern``."""

    needs: ClassVar[str] = "whatworks"

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def open(self) -> None:
        from whatworks import Memory

        self._memory = Memory.open(self.folder)

    def add(self, text: str) -> None:
        self._memory.add_pattern(text)

    def search(self, text: str) -> int:
        return len(self._memory.find_similar(text, limit=LIMIT))


class Mem0:
    """mem0 with its local Qdrant, and ``infer=False``: no language model is asked."""

    needs: ClassVar[str] = "mem0"

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def open(self) -> None:
        from whatworks.embedders.minilm import MiniLM

        os.environ |= {
            "MEM0_TELEMETRY": "False",
            "MEM0_DIR": str(self.folder),
            "OPENAI_API_KEY": "unused",
        }
        from mem0 import Memory

        vectors = {"path": str(self.folder / "qdrant"), "embedding_model_dims": 384, "on_disk": True}
        self._memory = Memory.from_config(
            {
                "vector_store": {"provider": "qdrant", "config": vectors},
                "history_db_path": str(self.folder / "history.db"),
            }
        )
        self._memory.embedding_model = _Mem0Embedder(MiniLM())

    def add(self, text: str) -> None:
        self._memory.add(text, user_id="one", infer=False)

    def search(self, text: str) -> int:
        found = self._memory.search(text, filters={"user_id": "one"}, top_k=LIMIT, threshold=0.0)
        return len(found["results"])


class _Mem0Embedder:
    """Our model as mem0 calls one."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.config = None

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return list(map(float, self._model([text])[0]))

    def embed_batch(self, texts: list[str], memory_action: str | None = None) -> list[list[float]]:
        return [list(map(float, row)) for row in self._model(texts)]


class LangGraph:
    """LangGraph's ``InMemoryStore`` with an index. It forgets: its SQLite store needs extensions of
    SQLite, which many Pythons are built without."""

    needs: ClassVar[str] = "langgraph"

    def __init__(self, folder: str) -> None:
        self._added = 0

    def open(self) -> None:
        from langgraph.store.memory import InMemoryStore

        from whatworks.embedders.minilm import MiniLM

        model = MiniLM()
        self._store = InMemoryStore(
            index={"dims": 384, "embed": lambda texts: model(list(texts)).tolist(), "fields": ["text"]}
        )

    def add(self, text: str) -> None:
        self._store.put(("one",), str(self._added), {"text": text})
        self._added += 1

    def search(self, text: str) -> int:
        return len(self._store.search(("one",), query=text, limit=LIMIT))


PEERS: dict[str, Any] = {"mem0": Mem0, "LangGraph": LangGraph}
