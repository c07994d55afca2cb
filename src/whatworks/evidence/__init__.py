"""DuckDB: what the journal says, in tables that answer questions."""

from whatworks.evidence.database import Evidence, OutdatedError

__all__ = ["Evidence", "OutdatedError"]
