"""What a memory says of its tries as a whole: by tool, file or week, and what goes together."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from whatworks import checks
from whatworks.desk import Desk
from whatworks.errors import InvalidInputError
from whatworks.handle import Handle

if TYPE_CHECKING:
    from whatworks.records import Cluster, ContextMap, Overview, Rate, RelatedFile, Timeline

__all__ = ["Analysis", "Grouping", "Together"]

Grouping = Literal["tool", "file", "type", "source", "channel", "session", "day", "week"]
Together = Literal["try", "session"]


class Analysis(Handle):
    """Questions about many tries at once; part of ``Memory``."""

    def overview(self, *, window_days: int = 7, limit: int = 10) -> Overview:
        """What works now, what rises, what falls, and what nobody has tried.

        Parameters
        ----------
        window_days
            What is new: so many calendar days, 1 to 365. They end with the newest
            day that has an outcome, and are compared with four times as many before.
        limit
            How many of each at most.
        """
        window = checks.count(window_days, "window_days", least=1, most=365)
        return self._ask(Desk.overview, window, checks.limit(limit))

    def context_map(self, pattern_id: str, *, limit: int = 300) -> ContextMap:
        """Where the contexts lie in which a pattern was tried, in two dimensions.

        Parameters
        ----------
        limit
            The contexts tried last, so many at most.

        Raises
        ------
        NotFoundError
            No such pattern.
        """
        checked = checks.identifier(pattern_id, "pattern_id")
        return self._ask(Desk.context_map, checked, checks.limit(limit))

    def timeline(self, pattern_id: str) -> Timeline:
        """What was learned of a pattern, week by week: what was tried, who told, how its rate moved.

        Raises
        ------
        NotFoundError
            No such pattern.
        """
        return self._ask(Desk.timeline, checks.identifier(pattern_id, "pattern_id"))

    def rates(
        self,
        by: Grouping,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
    ) -> list[Rate]:
        """How tries ended, by tool, file, type of pattern, source, channel, session, day or week.

        These are plain means of what was tried, each with its interval. That a tool
        does better may be because it was taken for what is easy: ``predict`` compares
        what was tried in situations that are alike.

        Parameters
        ----------
        by
            What the tries of a group have in common. Days and weeks are in UTC, a week
            is named as in ISO 8601, such as ``2026-W48``.
        since, until
            Only tries made in this time; ``since`` is inclusive, ``until`` is not.
        limit
            How many groups at most: those with most outcomes, or the newest days and weeks.
        """
        checked = _one_of(by, "by", get_args(Grouping))
        begin, end = self._moment(since, "since"), self._moment(until, "until")
        return self._ask(Desk.rates, checked, since=begin, until=end, limit=checks.limit(limit))

    def clusters(self, count: int | None = None) -> list[Cluster]:
        """Patterns that mean something alike, with how their tries ended; the largest clusters first.

        The same store gives the same clusters. A pattern belongs to one of them, also
        where it lies between two; a few hundred patterns take milliseconds, 100,000 some seconds.

        Parameters
        ----------
        count
            How many clusters, 1 to 1,000; by default the square root of half the patterns, at most 50.
        """
        checked = None if count is None else checks.count(count, "count", least=1, most=1_000)
        return self._ask(Desk.clusters, checked)

    def related_files(
        self, path: str, *, together: Together = "try", limit: int = 10
    ) -> list[RelatedFile]:
        """The files that change together with one, the most likely first.

        From the ``files`` of tries, so what wrote them down (hooks, ``import git``)
        decides what is known. Changes of more than 50 files are left out, and one of a
        year ago counts half as much for the order.

        Parameters
        ----------
        path
            As the tries name it.
        together
            ``"try"``: changed by one try, such as a commit. ``"session"``: by the tries
            of one session.
        limit
            How many at most.

        Raises
        ------
        NotFoundError
            No try has that file.
        """
        named = checks.text(path, "path", self.secrets, max_bytes=4_096)
        unit = _one_of(together, "together", get_args(Together))
        return self._ask(
            Desk.related_files, named, together=unit, limit=checks.limit(limit), now=self._clock()
        )


def _one_of(value: str, name: str, known: tuple[Any, ...]) -> Any:
    if (found := checks.choice(value, name, known)) is None:
        raise InvalidInputError(f"{name} is None; expected {' or '.join(map(repr, known))}")
    return found
