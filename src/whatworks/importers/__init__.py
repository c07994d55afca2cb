"""Other memories, tables and exports, brought into a store."""

from whatworks.importers.files import import_files
from whatworks.importers.jsonl import import_jsonl
from whatworks.importers.report import Report, Skip
from whatworks.importers.table import import_table

__all__ = ["Report", "Skip", "import_files", "import_jsonl", "import_table"]
