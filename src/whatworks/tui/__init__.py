"""The terminal's inspector: patterns in a list, one of them in detail; needs the extra ``tui``."""
