"""Parts of a document that scripts write: from one marker to the next, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["END", "START", "fill", "write"]

START, END = "<!-- figures: {} -->", "<!-- end of figures -->"


def fill(text: str, parts: Mapping[str, Sequence[str]]) -> str:
    """The document with the lines of each part between its markers.

    Examples
    --------
    >>> fill("a\\n<!-- figures: x -->\\nold\\n<!-- end of figures -->\\nb", {"x": ["new"]})
    'a\\n<!-- figures: x -->\\nnew\\n<!-- end of figures -->\\nb'
    """
    for name, lines in parts.items():
        start = START.format(name)
        if text.count(start) != 1:
            raise SystemExit(f"the document has {text.count(start)} lines {start!r}; one is needed")
        before, rest = text.split(start)
        if END not in rest:
            raise SystemExit(f"after {start!r} there is no {END!r}")
        text = "\n".join([f"{before}{start}", *lines, END]) + rest.split(END, 1)[1]
    return text


def write(document: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Fill the document; it is not touched if a marker is missing."""
    document.write_text(fill(document.read_text("utf-8"), parts), "utf-8")
