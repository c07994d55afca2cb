"""What a page was asked: the fields of an address or a form, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from whatworks.checks import shown
from whatworks.errors import InvalidInputError
from whatworks.text import clean_text

__all__ = ["Asked", "fields"]

# More than any form here has.
MAX_FIELDS = 32
# Times are kept from 1970 on; none is so late that its zone moves it beyond what can be said.
FIRST_YEAR, LAST_YEAR = 1970, 9998


def fields(encoded: str) -> dict[str, str]:
    """The fields of a query string or of a form; of repeated ones the last stands."""
    try:
        return dict(
            parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"the fields cannot be read; expected at most {MAX_FIELDS} in UTF-8"
        ) from error


class Asked:
    """Fields by name, with what they must be."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        """A text, cleaned as the command line cleans it; empty if it is not there."""
        # Browsers end the lines of a form with both.
        return clean_text(self._given.get(name, "").replace("\r\n", "\n")).strip()

    def id(self, name: str) -> str:
        """An id as it was given; empty if it is not there."""
        return self._given.get(name, "")

    def needed(self, name: str) -> str:
        """An id that must be there."""
        if not self.id(name):
            raise InvalidInputError(f"{name} is missing; expected an id in the address")
        return self.id(name)

    def count(self, name: str, default: int, *, least: int = 1, most: int) -> int:
        """A whole number."""
        given = self._given.get(name, "")
        if not given:
            return default
        if not (given.isascii() and given.isdigit() and len(given) < 10):
            raise InvalidInputError(f"{name} is {shown(given)}; expected a whole number")
        if not least <= int(given) <= most:
            raise InvalidInputError(f"{name} is {given}; expected {least} to {most:,}")
        return int(given)

    def time(self, name: str) -> datetime | None:
        """A day, which is its midnight in UTC, or a time with its zone."""
        given = self._given.get(name, "")
        if not given:
            return None
        try:
            read = datetime.fromisoformat(given)
        except ValueError as error:
            raise InvalidInputError(f"{name} is {shown(given)}; expected a day or a time") from error
        moment = read if read.tzinfo else read.replace(tzinfo=UTC)
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise InvalidInputError(f"{name} is {shown(given)}; expected a time since {FIRST_YEAR}")
        return moment

    def yes(self, name: str) -> bool:
        """Whether something was ticked."""
        return self._given.get(name, "") == "yes"
