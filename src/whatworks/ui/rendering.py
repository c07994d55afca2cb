"""From what a page shows to HTML or JSON."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import jinja2
import orjson
from markupsafe import Markup

from whatworks.evidence_words import CAUSES, KINDS
from whatworks.ui import charts, words
from whatworks.ui.views.tries import GROUPINGS

__all__ = ["document", "environment", "page"]


def document(data: object) -> bytes:
    """``data`` as one JSON document; dataclasses are objects, times are RFC 3339."""
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def environment() -> jinja2.Environment:
    """The templates; every value is escaped, and a name that is not there is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("whatworks.ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("count", "many", "percent", "points", "short", "signed", "when"):
        made.filters[name] = getattr(words, name)
    made.filters["size"] = words.bytes_
    made.filters["embedded"] = _embedded
    made.globals.update(
        link=_link,
        charts=charts,
        kinds=KINDS,
        causes=CAUSES,
        groupings=GROUPINGS,
    )
    return made


def page(templates: jinja2.Environment, template: str, **values: Any) -> str:
    """A template as text."""
    return templates.get_template(template).render(**values)


def _link(path: str, /, **values: object) -> str:
    """An address with its fields; what is ``None`` is left out."""
    given = {name: value for name, value in values.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _embedded(data: object) -> Markup:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    text = orjson.dumps(data).decode()
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # every sign that HTML knows is escaped above
