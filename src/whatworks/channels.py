"""Ways in of which more follows than their name: who writes through them is set by the face alone."""

from __future__ import annotations

__all__ = ["CHECKING", "EXPORT", "IMPORT", "UNVOUCHED"]

# Their clients are strangers: a token says that they may write, not who they are.
UNVOUCHED = ("mcp-http",)
# What comes through them was found by a check: hooks see commands end, and with what.
CHECKING = ("hook",)
# What labels of imported files begin with: those of others, and those that a whatworks has written,
# which say themselves where their tries were first told.
IMPORT, EXPORT = "import", "export"
