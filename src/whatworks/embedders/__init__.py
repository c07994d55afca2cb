"""Embedders: functions from texts to vectors."""

from whatworks.embedders.base import Embedder, EmbeddingPool, EmbedFunction, embedder_for, vectors_of

__all__ = ["EmbedFunction", "Embedder", "EmbeddingPool", "embedder_for", "vectors_of"]
