"""Embedders: functions from texts to vectors."""

from whatworks.embedders.base import Embedder, EmbedFunction, embedder_for, vectors_of

__all__ = ["EmbedFunction", "Embedder", "embedder_for", "vectors_of"]
