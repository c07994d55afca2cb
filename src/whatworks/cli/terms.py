"""Messages of errors as the command line says them: of its options, not of the library's fields."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from whatworks.errors import WhatWorksError
from whatworks.text import subject_renamed

__all__ = ["Command"]

# Fields that have another name than the parameter of a command that sets them.
_SET_BY = {
    "earlier": "from_",
    "files": "file",
    "metadata": "meta",
    "prediction_id": "prediction",
    "session_id": "session",
    "timestamp": "time",
    "tools": "tool",
}


# What to do, as it is said in no face's words, and as it is done here.
_DONE_BY = {
    "add it first": "whatworks add adds one",
    "resolve it to change the outcome, or give another id": (
        "whatworks resolve changes the outcome, or give another --event-id"
    ),
}


class Command(TyperCommand):
    """A command whose errors name its options."""

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except WhatWorksError as error:
            error.args = (_here(subject_renamed(str(error), self._options())), *error.args[1:])
            raise

    def _options(self) -> dict[str, str]:
        """By field, the option that sets it."""
        own = {each.name: each.opts[0] for each in self.params if each.opts[0].startswith("--")}
        other = {field: own[name] for field, name in _SET_BY.items() if name in own}
        return {name: option for name, option in own.items() if name is not None} | other


def _here(message: str) -> str:
    before, between, last = message.rpartition("; ")
    return f"{before}{between}{_DONE_BY.get(last, last)}"
