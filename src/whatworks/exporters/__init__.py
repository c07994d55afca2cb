"""A store's content, written to files."""

from whatworks.exporters.jsonl import export_jsonl
from whatworks.exporters.table import export_table

__all__ = ["export_jsonl", "export_table"]
