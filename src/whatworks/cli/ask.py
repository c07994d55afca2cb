"""Commands that ask: similar, trend, predict, why, patterns, events, stats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

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

if TYPE_CHECKING:
    from whatworks.records import Risk

__all__ = ["diff", "events", "patterns", "predict", "similar", "sources", "stats", "trend", "why"]

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
    prediction: Annotated[str, typer.Argument(help="Id of the prediction; predict prints it.")],
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many answers to take apart; --json has all.")
    ] = 3,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show the evidence that adds up to each number of a prediction.

    Example: whatworks why 0198c0de-7000-7000-8000-000000000001
    """
    from whatworks.cli import views

    with opened(store) as memory:
        found = memory.why(prediction)
    print_json(found) if as_json else views.why(found, limit=limit)


def diff(
    context: Annotated[str, typer.Argument(help="The situation, in words; - reads standard input.")],
    from_: Annotated[str, typer.Option("--from", metavar="TIME", help="The earlier day or time.")],
    to: Annotated[
        str | None, typer.Option(metavar="TIME", help="The later day or time; else now.")
    ] = None,
    limit: Limit = 10,
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


def sources(store: Store = None, as_json: Json = False) -> None:
    """Say who has told of tries, and what others tell of the same patterns.

    Example: whatworks sources
    """
    from whatworks.cli import views

    with opened(store) as memory:
        found = memory.sources()
    print_json(found) if as_json else views.sources(found)


def stats(store: Store = None, as_json: Json = False) -> None:
    """Count what the store holds, and the room it takes.

    Example: whatworks stats
    """
    from whatworks.cli import views

    with opened(store) as memory:
        found = memory.stats()
    print_json(found) if as_json else views.stats(found)
