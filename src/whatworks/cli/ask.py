"""Commands that ask: similar, trend, predict, why, patterns, events, stats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from whatworks.checks import shown
from whatworks.cli.common import (
    CreatedAfter,
    CreatedBefore,
    Json,
    Limit,
    Meta,
    MinUsage,
    Store,
    Type,
    UsedAfter,
    UsedBefore,
    conditions,
    embed_waiting,
    moment,
    next_command,
    opened,
    print_json,
    share,
    text,
)
from whatworks.errors import NotFoundError

if TYPE_CHECKING:
    from whatworks.analysis import Grouping, Together
    from whatworks.memory import Memory
    from whatworks.records import Risk, Timeline

__all__ = [
    "clusters",
    "diff",
    "events",
    "patterns",
    "predict",
    "rates",
    "related",
    "similar",
    "sources",
    "sql",
    "stats",
    "trend",
    "why",
]

AsOf = Annotated[
    str | None, typer.Option(metavar="TIME", help="Answer from what was known at that day or time.")
]


def similar(
    query: Annotated[str, typer.Argument(metavar="TEXT", help="A text; - reads standard input.")],
    limit: Limit = 10,
    pattern_type: Type = None,
    meta: Meta = None,
    min_usage: MinUsage = 0,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    used_after: UsedAfter = None,
    used_before: UsedBefore = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Find patterns that are like a text, by meaning and by words.

    Example: whatworks similar "import cannot be found" --limit 5
    """
    from whatworks.cli import views

    given = text(query)
    where = conditions(
        pattern_type=pattern_type,
        meta=meta,
        min_usage=min_usage,
        created_after=created_after,
        created_before=created_before,
        used_after=used_after,
        used_before=used_before,
    )
    with opened(store, embedder="needed") as memory:
        embed_waiting(memory)
        found = memory.find_similar(given, limit=limit, where=where)
    print_json(found) if as_json else views.matches(found)


def trend(
    pattern: Annotated[str, typer.Argument(help="Id of the pattern.")],
    window_days: Annotated[int, typer.Option(metavar="N", help="Days in the moving average.")] = 7,
    as_of: AsOf = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show how the outcomes of a pattern develop, day by day.

    Example: whatworks trend 8c8d1ab2e4b70f1e
    """
    from whatworks.cli import views

    at = moment(as_of, "--as-of")
    with opened(store) as memory:
        found = memory.trend(pattern, window_days=window_days, as_of=at)
        described = memory.get_pattern(pattern)
    print_json(found) if as_json else views.trend(found, described)


def predict(
    context: Annotated[str, typer.Argument(help="The situation, in words; - reads standard input.")],
    limit: Limit = 10,
    candidate: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Consider only this pattern; repeat."),
    ] = None,
    as_of: AsOf = None,
    explore: Annotated[
        str,
        typer.Option(
            metavar="SHARE", help="How often to try another than the best; up to 0.5, or optimistic."
        ),
    ] = "0",
    risk: Annotated[
        str, typer.Option(metavar="WORD", help="low, normal or high; high leaves nothing to chance.")
    ] = "normal",
    mask: Annotated[
        float, typer.Option(metavar="SHARE", help="How often to withhold an answer; up to 0.5.")
    ] = 0.0,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Repeat the draws of a receipt.")
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Say what will work best in a situation, how sure, and why.

    Example: whatworks predict "cargo build fails: unresolved import"
    """
    from whatworks.cli import views

    given, at = text(context), moment(as_of, "--as-of")
    with opened(store, embedder="needed") as memory:
        embed_waiting(memory)
        found = memory.predict(
            given,
            limit=limit,
            candidates=candidate or None,
            as_of=at,
            explore=share(explore, "--explore"),
            risk=cast("Risk", risk),
            mask=mask,
            seed=seed,
        )
    if as_json:
        print_json(found)
    else:
        views.prediction(found, next_step=next_command("why", found.prediction_id, store=store))


def why(
    which: Annotated[str, typer.Argument(metavar="ID", help="Id of a prediction, or of a pattern.")],
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many answers, or weeks; --json has all.")
    ] = 3,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show what adds up to a prediction, or what moved a pattern's rate.

    Example: whatworks why 0198c0de-7000-7000-8000-000000000001
    """
    from whatworks.cli import views

    with opened(store) as memory:
        try:
            found = memory.why(which)
        except NotFoundError:
            learned = _learned(memory, which)
            print_json(learned) if as_json else views.timeline(learned, limit=limit)
            return
    print_json(found) if as_json else views.why(found, limit=limit)


def _learned(memory: Memory, which: str) -> Timeline:
    try:
        return memory.timeline(which)
    except NotFoundError:
        raise NotFoundError(f"there is no prediction or pattern {shown(which)} in this store") from None


def diff(
    context: Annotated[str, typer.Argument(help="The situation, in words; - reads standard input.")],
    from_: Annotated[str, typer.Option("--from", metavar="TIME", help="The earlier day or time.")],
    to: Annotated[
        str | None, typer.Option(metavar="TIME", help="The later day or time; else now.")
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", help="How many answers of each time are compared.")
    ] = 10,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show how the advice changed between two times, and because of what.

    Example: whatworks diff --from 2026-05-01 "cargo build fails"
    """
    from whatworks.cli import views

    given, earlier, later = text(context), moment(from_, "--from"), moment(to, "--to")
    with opened(store, embedder="needed") as memory:
        embed_waiting(memory)
        now = memory.clock()
        found = memory.diff(earlier or now, later or now, context=given, limit=limit)
    print_json(found) if as_json else views.differences(found)


def patterns(
    limit: Limit = 20,
    pattern_type: Type = None,
    meta: Meta = None,
    min_usage: MinUsage = 0,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    used_after: UsedAfter = None,
    used_before: UsedBefore = None,
    archived: Annotated[
        bool, typer.Option("--archived", help="Those that are archived, and why.")
    ] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """List patterns with their record, the newest first.

    Example: whatworks patterns --type debugging --min-usage 5
    """
    from whatworks.cli import views

    where = conditions(
        pattern_type=pattern_type,
        meta=meta,
        min_usage=min_usage,
        created_after=created_after,
        created_before=created_before,
        used_after=used_after,
        used_before=used_before,
        archived=archived,
    )
    with opened(store) as memory:
        found = memory.patterns(where=where, limit=limit)
        print_json(found) if as_json else views.patterns(found, memory.trend)


def events(
    pattern: Annotated[str | None, typer.Argument(help="Id of a pattern; else of all.")] = None,
    limit: Limit = 20,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """List tries with their outcomes, the newest first.

    Example: whatworks events 8c8d1ab2e4b70f1e --limit 5
    """
    from whatworks.cli import views

    with opened(store) as memory:
        found = memory.events(pattern, limit=limit)
    print_json(found) if as_json else views.events(found)


def sources(
    imports: Annotated[
        bool, typer.Option("--imports", help="Which files tries were imported from instead.")
    ] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Say who has told of tries, and what others tell of the same patterns.

    Example: whatworks sources
    """
    from whatworks.cli import trust_view, views

    with opened(store) as memory:
        if imports:
            files = memory.imports()
            print_json(files) if as_json else trust_view.imports(files)
            return
        found = memory.sources()
    print_json(found) if as_json else views.sources(found)


def rates(
    by: Annotated[str, typer.Option(metavar="WHAT", help="tool, file, type, source, day, week, ...")],
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only tries since then.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only tries before.")] = None,
    limit: Limit = 20,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show how tries ended by tool, file, type, source, session, day or week.

    Example: whatworks rates --by tool
    """
    from whatworks.cli import views

    first, last = moment(since, "--since"), moment(until, "--until")
    with opened(store) as memory:
        found = memory.rates(cast("Grouping", by), since=first, until=last, limit=limit)
    print_json(found) if as_json else views.rates(by, found)


def clusters(
    count: Annotated[int | None, typer.Option(metavar="N", help="How many clusters.")] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show patterns that mean something alike, and how their tries ended.

    Example: whatworks clusters --count 10
    """
    from whatworks.cli import views

    with opened(store, embedder="if there") as memory:
        embed_waiting(memory)
        found = memory.clusters(count)
        if as_json:
            print_json(found)
        else:
            views.clusters(found, memory.get_patterns([item.examples[0] for item in found]))


def related(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A file, as the tries name it.")],
    together: Annotated[
        str, typer.Option(metavar="UNIT", help="Changed by one try, or in one session.")
    ] = "try",
    limit: Limit = 10,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show the files that change together with one, and how that ended.

    Example: whatworks related src/app.py
    """
    from whatworks.cli import views

    with opened(store) as memory:
        found = memory.related_files(path, together=cast("Together", together), limit=limit)
    print_json(found) if as_json else views.related(found)


def sql(
    query: Annotated[str, typer.Argument(metavar="SELECT", help="A SELECT; - reads standard input.")],
    limit: Limit = 100,
    seconds: Annotated[float, typer.Option(metavar="S", help="How long it may take.")] = 10.0,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Run a SELECT over the documented views, on a copy of what is stored.

    Example: whatworks sql "SELECT count(*) FROM usage_events"
    """
    from whatworks.cli import views
    from whatworks.sql import Limits

    with opened(store) as memory:
        found = memory.sql(text(query), limits=Limits(rows=limit, seconds=seconds))
    print_json(found) if as_json else views.rows(found)


def stats(store: Store = None, as_json: Json = False) -> None:
    """Count what the store holds, and the room it takes.

    Example: whatworks stats
    """
    from whatworks.cli import views

    with opened(store) as memory:
        found = memory.stats()
    print_json(found) if as_json else views.stats(found)
