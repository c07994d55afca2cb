"""The memory inside agent frameworks, one module each, with the extra of the same name."""
