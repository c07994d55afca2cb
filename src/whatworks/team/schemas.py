"""In which schema of its database a team has its tables: one for each namespace.

A team without a namespace is in ``whatworks``, that of ``web`` in ``whatworks_web``. Statements name no
schema: each connection looks in that of its team and nowhere else, see ``database``.
"""

from __future__ import annotations

import re

from whatworks.errors import InvalidInputError
from whatworks.spaces import names

__all__ = ["ALONE", "LONGEST", "PREFIX", "named", "namespace", "quoted"]

ALONE = "whatworks"
PREFIX = f"{ALONE}_"
# PostgreSQL cuts longer names off without a word, and then two would be one.
LONGEST = 63 - len(PREFIX)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def named(space: str | None) -> str:
    """The schema of a namespace; that of a team alone in its database for ``None``.

    Raises
    ------
    InvalidInputError
        That is no name of a namespace, or longer than ``LONGEST``.
    """
    if space is None:
        return ALONE
    if len(names.checked(space)) > LONGEST:
        raise InvalidInputError(
            f"the namespace {space!r} has {len(space)} characters; in a team's database expected at "
            f"most {LONGEST}"
        )
    return PREFIX + space


def namespace(schema: str) -> str | None:
    """The namespace that has a schema; ``None`` for any other schema, also the one of no namespace."""
    space = schema.removeprefix(PREFIX)
    found = schema.startswith(PREFIX) and len(space) <= LONGEST and names.is_name(space)
    return space if found else None


def quoted(schema: str) -> str:
    """A schema as statements have it."""
    if _PLAIN.fullmatch(schema):
        return schema  # of this module's, and so no word of SQL
    return '"' + schema.replace('"', '""') + '"'
