"""What people see of each kind of record."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from whatworks.cli import trust_view
from whatworks.cli.show import (
    NONE,
    cell,
    console,
    count,
    facts,
    interval,
    number,
    one_line,
    say,
    show,
    size,
    spark,
    table,
    when,
)
from whatworks.evidence_words import CAUSES, KINDS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from whatworks.doctor import Finding
    from whatworks.importers import Report
    from whatworks.records import (
        Answer,
        Backup,
        Cause,
        Change,
        ChangePoint,
        Cluster,
        Contribution,
        Diff,
        Explanation,
        Forgotten,
        Match,
        Migration,
        Pattern,
        Prediction,
        Rate,
        RelatedFile,
        Rows,
        Source,
        Stats,
        Timeline,
        Trend,
        UsageEvent,
        Why,
    )
    from whatworks.repair import Repair

__all__ = [
    "clusters",
    "differences",
    "events",
    "findings",
    "made",
    "matches",
    "patterns",
    "prediction",
    "rates",
    "related",
    "report",
    "rows",
    "stats",
    "timeline",
    "trend",
    "why",
]

SPARK_DAYS = 8
RECENT_DAYS = 7
SHOWN_PARTS = 8
SHOWN_REASONS = 3
# Columns that have less room than this are shown one below the other.
NARROWEST = 10
_NUMERIC = re.compile(r"^(U?[A-Z]*INT(EGER)?|DOUBLE|FLOAT|DECIMAL\(.*\))$")
_VERDICTS = {
    "recommended": "green",
    "worth trying": "yellow",
    "not recommended": "red",
    "no evidence": "dim",
}
_STATUS = {"ok": "green", "warn": "yellow", "bad": "bold red"}


def _pattern(pattern: Pattern, *, more: str = "") -> RenderableType:
    """Description, id and what else there is to say, a line each."""
    said = [line for line in (more, pattern.archive_reason) if line]
    return cell(*_named(pattern), *((line, "dim") for line in said))


def _named(pattern: Pattern) -> list[str | tuple[str, str]]:
    """Description and id, once if they are the same, as in patterns from a table."""
    name = (pattern.pattern_id, "cyan")
    return [name] if pattern.description == pattern.pattern_id else [pattern.description, name]


def patterns(found: Sequence[Pattern], trend_of: Callable[[str], Trend]) -> None:
    """Patterns with their record and how it went lately."""
    if not found:
        say("no patterns: add one with whatworks add, or import them")
        return
    rows = [
        (
            number(item.success_rate),
            count(item.usage_count),
            _lately(trend_of(item.pattern_id)),
            _pattern(item, more=f"{item.pattern_type}, {_last_tried(item)}"),
        )
        for item in found
    ]
    show(table((">worked", ">tries", "lately", "*pattern"), rows))


def _last_tried(pattern: Pattern) -> str:
    if pattern.archived_at is not None:
        return f"archived {when(pattern.archived_at)}"
    return f"last tried {when(pattern.last_used_at)}" if pattern.last_used_at else "never tried"


def _lately(trend: Trend) -> str:
    return spark([day.moving_avg for day in reversed(trend.days[:SPARK_DAYS])])


def matches(found: Sequence[Match]) -> None:
    """Patterns that are like a text: how near, and how well they did."""
    if not found:
        say("nothing similar: the store holds no pattern that fits")
        return
    rows = [
        (
            number(match.distance),
            _rank(match.vector_rank),
            _rank(match.keyword_rank),
            number(match.success_rate),
            count(match.usage_count),
            _pattern(match.pattern),
        )
        for match in found
    ]
    show(table((">distance", ">meaning", ">words", ">worked", ">tries", "*pattern"), rows))


def _rank(place: int | None) -> str:
    return NONE if place is None else f"#{place}"


def events(found: Sequence[UsageEvent]) -> None:
    """Tries with their outcome, context and ids."""
    if not found:
        say("no events: record a try with whatworks record")
        return
    rows = [
        (
            when(event.timestamp),
            event.state if event.outcome is None else number(event.outcome),
            cell(
                event.context or NONE,
                (f"event {event.event_id}", "cyan"),
                (f"pattern {event.pattern_id}", "dim"),
            ),
        )
        for event in found
    ]
    show(table(("time (UTC)", ">outcome", "*context"), rows))


# -- trend ----------------------------------------------------------------------------------------


def trend(found: Trend, pattern: Pattern) -> None:
    """A chart of the days, the newest of them as a table, and the direction in words."""
    from whatworks.cli.chart import chart

    show(cell(*_named(pattern)))
    if not found.days:
        say("no tries yet: record one with whatworks record")
        return
    terminal = console()
    plain = terminal.options.ascii_only
    say("")
    show(chart(found.days, width=terminal.width, window_days=found.window_days, ascii_only=plain))
    say("")
    rows = [
        (
            f"{day.day}",
            count(day.usage_count),
            interval(day.avg_success, day.low, day.high),
            interval(day.moving_avg, day.moving_low, day.moving_high),
        )
        for day in found.days[:RECENT_DAYS]
    ]
    average = f">last {found.window_days} days (95 %)"
    show(table(("day (UTC)", ">tries", ">mean (95 %)", average), rows))
    say("")
    for line in _direction(found):
        say(line)
    if found.change_point is not None:
        say(change_point(found.change_point))


def _direction(found: Trend) -> tuple[str, ...]:
    if found.change is None or found.change_low is None or found.change_high is None:
        return (
            f"{found.direction}: outcomes are needed both in its last {found.window_days} days "
            f"and in the {found.baseline_days} days before",
        )
    between = f"{found.change:+.2f} ({found.change_low:+.2f} to {found.change_high:+.2f})"
    return (
        f"{found.direction}: {between}, P(rise) {number(found.probability)},",
        f"in the {found.window_days} days up to {found.until} against the "
        f"{found.baseline_days} days before",
    )


# -- predictions ----------------------------------------------------------------------------------


def prediction(found: Prediction, *, next_step: str) -> None:
    """What to expect of each pattern, with the nearest evidence, and what to type next."""
    if not found.answers:
        say("no answer: there were no patterns to choose from; add one with whatworks add")
        return
    from rich.text import Text

    rows = [
        (
            interval(answer.expected, answer.low, answer.high),
            number(answer.n_effective, 1),
            Text(answer.verdict, style=_VERDICTS[answer.verdict]),
            _answered(answer),
        )
        for answer in found.answers
    ]
    show(table((">expected (80 %)", ">n_eff", "verdict", "*pattern"), rows))
    say("")
    for answer in found.answers:
        _missing(answer)
        _changed(answer)
        _unvouched(answer)
    say(f"recommended means above {found.default:.2f}, the mean of all patterns")
    if found.explored:
        how = f"drawn, explore {found.explore:g}" if found.explore else "put there by optimism"
        say(f"the first was {how}, to learn of it")
    say(f"prediction {found.prediction_id}")
    say(f"next: {next_step}")


def _answered(answer: Answer) -> RenderableType:
    """The pattern of an answer, the nearest evidence, and what is missing."""
    lines = [_nearest(answer), *([_known(answer)] if answer.missing else [])]
    return cell(*_named(answer.pattern), *((line, "dim") for line in lines))


def _known(answer: Answer) -> str:
    return f"{count(answer.resolved)} of {count(answer.resolved + answer.missing)} outcomes known"


def _missing(answer: Answer) -> None:
    """What the outcomes that are missing could change, where that may be much."""
    if answer.bounds is not None:
        low, high = answer.bounds
        ends = f"{low:.2f} to {high:.2f} if the rest all failed / all worked"
        say(f"{answer.pattern_id}: {_known(answer)}; {ends}")


def _unvouched(answer: Answer) -> None:
    """How much of its evidence nobody vouches for."""
    if answer.unvouched:
        who = f"{answer.unvouched:.0%} of its evidence is told by sources that nobody vouches for"
        say(f"{answer.pattern_id}: {who} (above 25 % it is not recommended)")


def _changed(answer: Answer) -> None:
    """Since when the pattern does otherwise than before."""
    if answer.change is not None:
        say(f"{answer.pattern_id}: {change_point(answer.change)}")


def change_point(point: ChangePoint) -> str:
    """A change point in words."""
    along = "".join(
        f"; {item.field} {item.value}: {item.before:.0%} of the tries before, {item.after:.0%} since"
        for item in point.along[:2]
    )
    return (
        f"changed on {point.since:%Y-%m-%d}, from {point.before:.2f} to {point.after:.2f}; "
        f"only the {point.tries_after:.0f} effective tries since then count{along}"
    )


def _nearest(answer: Answer) -> str:
    if not answer.evidence:
        return "no tries in a similar context"
    near = answer.evidence[0]
    record = f"{near.mean_outcome:.2f} in {_tries(near.tries)}"
    return f"{record}, {near.similarity:.2f} similar: {near.context}"


def _tries(n: float) -> str:
    return "1 try" if n == 1 else f"{n:,.0f} tries"


def why(found: Why, *, limit: int) -> None:
    """The summands of the first ``limit`` answers, what speaks against them, what would turn them."""
    say(f"context: {found.prediction.context}")
    first = max(found.prediction.answers, key=lambda a: round(a.expected, 9), default=None)
    for answer, explanation in list(zip(found.prediction.answers, found.explanations, strict=True))[
        :limit
    ]:
        say("")
        show(cell(*_named(answer.pattern)))
        show(_sum(explanation))
        _missing(answer)
        _unvouched(answer)
        trust_view.told(explanation.told)
        if explanation.against:
            say(f"against {number(answer.expected)}, the average being {found.prediction.default:.2f}:")
            show(_parts(explanation.against))
        if turned := _turned(explanation, first=answer is first):
            say(turned)
        if explanation.flip:
            show(_parts(explanation.flip.take_away))
    left = len(found.explanations) - limit
    if left > 0:
        say("")
        say(f"{left} more with --limit {len(found.explanations)}")


def _sum(explanation: Explanation) -> RenderableType:
    """One explanation as an addition; small summands are one line."""
    from rich.text import Text

    parts = [part for part in explanation.contributions if part.value or part.tries]
    shown, rest = parts[:SHOWN_PARTS], parts[SHOWN_PARTS:]
    rows: list[Sequence[RenderableType]] = [_summand(part) for part in shown]
    if rest:
        value = sum(part.value for part in rest)
        rows.append((f"{value:+.3f}", "", "", "", f"{len(rest)} smaller ones"))
    meaning = "expected"
    if explanation.clipped:
        total = sum(part.value for part in explanation.contributions)
        meaning = f"expected: the sum is {total:.3f}, and no estimate leaves 0.01 to 0.99"
    rows.append((Text(f"= {explanation.expected:.3f}", style="bold"), "", "", "", meaning))
    return table((">adds", ">tries", ">mean", ">similar", "*from"), rows)


def _parts(parts: Sequence[Contribution]) -> RenderableType:
    """The strongest of some summands."""
    return table(
        (">adds", ">tries", ">mean", ">similar", "*from"),
        [_summand(part) for part in parts[:SHOWN_REASONS]],
    )


def _turned(explanation: Explanation, *, first: bool) -> str:
    """What would turn the order of a pattern and its neighbour, in words."""
    flip = explanation.flip
    if flip is None:
        if explanation.remains is None:
            return ""
        return f"order: no tries nearby turn it; {explanation.remains:.3f} is left without all of them"
    verb = "falls behind" if first else "overtakes"
    taken = "these tries" if len(flip.take_away) > 1 else "this"
    more = len(flip.take_away) - SHOWN_REASONS
    return (
        f"order: {verb} {flip.other_id} ({flip.margin:.3f} apart) without "
        f"{taken}{f' and {more} more' if more > 0 else ''}:"
    )


def _summand(part: Contribution) -> Sequence[RenderableType]:
    source = KINDS[part.kind]
    if part.context is not None:
        source = f"{source}: {one_line(part.context)}"
    return (
        f"{part.value:+.3f}",
        number(part.tries, 1),
        number(part.mean_outcome),
        number(part.similarity),
        source,
    )


# -- differences ------------------------------------------------------------------------------------


def differences(found: Diff) -> None:
    """What changed in the advice, each change with its causes."""
    say(f"from {when(found.earlier)} to {when(found.later)}: {found.context}")
    if not found.changes:
        say("nothing changed in the advice")
    for change in found.changes:
        say("")
        show(cell(*_named(change.pattern)))
        say(_became(change))
        rows = [_cause(cause, change) for cause in change.causes]
        if rows:
            show(table((">share", "tries", "mean", ">similar", "*because of"), rows))
    if found.changes and found.unchanged:
        say("")
        say(f"{found.unchanged} unchanged")


def _became(change: Change) -> str:
    """Estimate, place and verdict before and after, in words."""
    parts = [
        f"expected {number(change.before)} -> {number(change.after)}",
        f"place {change.rank_before or NONE} -> {change.rank_after or NONE}",
        f"{change.verdict_before or NONE} -> {change.verdict_after or NONE}",
    ]
    return ", ".join(parts)


def _cause(cause: Cause, change: Change) -> Sequence[RenderableType]:
    source = CAUSES[cause.kind]
    if cause.kind == "nearby":
        whose = "its" if cause.pattern_id == change.pattern_id else f"{cause.pattern_id}'s"
        source = f"{whose} {source}: {one_line(cause.context or '')}"
    named = ", ".join(cause.events[:SHOWN_REASONS])
    more = cause.event_count - SHOWN_REASONS
    events = f"events {named}{f' and {more} more' if more > 0 else ''}"
    tried = cause.event_count > 0
    return (
        f"{cause.share:+.3f}",
        f"{cause.tries_before} -> {cause.tries_after}" if tried else "",
        f"{number(cause.mean_before)} -> {number(cause.mean_after)}" if tried else "",
        number(cause.similarity),
        cell(source, *([(events, "cyan")] if tried else [])),
    )


# -- the store ----------------------------------------------------------------------------------------


def stats(found: Stats) -> None:
    """Counts, sizes and the state of the layers."""
    rows = [
        ("store", found.path),
        ("patterns", count(found.patterns)),
        ("events", f"{count(found.events)} ({_states(found)})"),
        ("contexts", count(found.contexts)),
        ("priors", count(found.priors)),
        ("predictions", f"{count(found.predictions)}{_coverage(found)}"),
        ("first event", when(found.first_event_at)),
        ("last event", when(found.last_event_at)),
        ("embedder", f"{found.embedder}, {found.dim or 'unknown'} dimensions"),
        ("vectors", _vectors(found)),
        (
            "on disk",
            f"journal {size(found.journal_bytes)}, evidence {size(found.evidence_bytes)}, "
            f"vectors {size(found.vector_bytes)}",
        ),
        ("kept by", _keeper(found)),
        *(("problem", problem) for problem in found.problems),
    ]
    show(facts(rows))


def _coverage(found: Stats) -> str:
    if not found.shown:
        return ""
    newest = "" if found.shown == found.predictions else f" of the newest {count(found.shown)}"
    return f" (of {count(found.shown_resolved)}{newest} it is known what came of them)"


def _keeper(found: Stats) -> str:
    return "this command" if found.keeper == os.getpid() else f"process {found.keeper}"


def _states(found: Stats) -> str:
    counts = {
        "resolved": found.resolved,
        "pending": found.pending,
        "not used": found.not_used,
        "unknown": found.unknown,
    }
    return ", ".join(f"{count(value)} {name}" for name, value in counts.items())


def _vectors(found: Stats) -> str:
    held = {name: found.vectors[name] for name in ("patterns", "contexts")}
    parts = [
        f"{name} {count(of['vectors'])} ({count(of['waiting'])} waiting)" for name, of in held.items()
    ]
    if shared := found.vectors.get("shared"):
        late = f", {count(shared['behind'])} entries behind" if shared["behind"] else ""
        taken = count(shared["taken"])
        parts.append(f"the team shares {count(shared['vectors'])}{late}, {taken} taken")
    return f"{found.vectors['engine']}: {', '.join(parts)}"


def made(found: Stats) -> None:
    """What a store holds after it was made anew."""
    say(f"{count(found.patterns)} patterns and {count(found.events)} events")
    say(f"embedder {found.embedder}")
    say(f"vectors in {_vectors(found)}")


def migrated(found: Migration) -> None:
    """Where the vectors lie now, and how they were compared."""
    for name, vectors in found.vectors.items():
        say(f"{name}: {count(vectors)} vectors compared, recall {found.recall[name]:.1%}")
    say(f"vectors in {found.after}" + (f", before in {found.before}" if found.vectors else ""))
    if found.former:
        say(f"{found.former} is kept: whatworks migrate --back returns to it, --drop-old removes it")


def sources(found: Sequence[Source]) -> None:
    """Who has told of tries; where others tried the same, what both say of it."""
    if not found:
        say("nobody has told of a try")
        return
    bounded = any(item.held or item.trust != "vouched" for item in found)
    checked = any(item.checked for item in found)
    shared = any(item.shared for item in found)
    rows = [
        (
            cell(item.source, cut=False),  # whole: it is what distrust and approve want
            cell(item.channel),
            count(item.events),
            count(item.patterns),
            *((count(item.checked),) if checked else ()),
            number(item.mean_outcome),
            *((_both(item),) if shared else ()),
            *((item.trust, count(item.held)) if bounded else (when(item.last_at),)),
        )
        for item in found
    ]
    last = ("trust", ">held") if bounded else ("last",)
    found_by = (">checked",) if checked else ()
    names = (
        "*source",
        "channel",
        ">tries",
        ">patterns",
        *found_by,
        ">outcome",
        *((">says / others",) if shared else ()),
        *last,
    )
    show(table(names, rows))


def _both(item: Source) -> str:
    return f"{number(item.mean_shared)} / {number(item.mean_others)}" if item.shared else NONE


def rates(by: str, found: Sequence[Rate]) -> None:
    """Groups of tries with their mean outcomes."""
    if not found:
        say(f"no try has a {by}")
        return
    rows = [
        (cell(item.value), count(item.tries), count(item.resolved),
         interval(item.mean_outcome, item.low, item.high))
        for item in found
    ]  # fmt: skip
    show(table((f"*{by}", ">tries", ">resolved", ">outcome"), rows))


def timeline(found: Timeline, *, limit: int) -> None:
    """What was learned of a pattern, week by week, and what moved its rate."""
    if not found.steps:
        say("never tried")
        return
    if found.change_point is not None:
        point = found.change_point
        say(f"changed for good {point.since:%Y-%m-%d}: {number(point.before)} to {number(point.after)}")
    rows = [
        (
            f"{step.week:%Y-%m-%d}",
            count(step.resolved),
            number(step.mean_outcome),
            f"{step.after - step.before:+.2f}",
            interval(step.after, step.low, step.high),
            cell(", ".join(f"{rate.value} {number(rate.mean_outcome)}" for rate in step.sources)),
        )
        for step in found.steps[:limit]
    ]
    show(table(("week of", ">outcomes", ">mean", ">moved", ">rate since then", "*told by"), rows))
    if (left := len(found.steps) - limit) > 0:
        say(f"{count(left)} more with --limit {len(found.steps)}")


def clusters(found: Sequence[Cluster], described: Mapping[str, Pattern]) -> None:
    """Clusters, the largest first, each with the pattern nearest to its middle."""
    if not found:
        say("no pattern has an embedding")
        return
    rows = [
        (cell(item.words, (described[item.examples[0]].description, "dim")), count(item.patterns),
         count(item.rate.tries), interval(item.rate.mean_outcome, item.rate.low, item.rate.high))
        for item in found if item.examples[0] in described
    ]  # fmt: skip
    show(table(("*what they have in common", ">patterns", ">tries", ">outcome"), rows))


def related(found: Sequence[RelatedFile]) -> None:
    """Files that change together with one, the most likely first."""
    if not found:
        say("no try changed it together with another file")
        return
    rows = [
        (
            cell(item.file),
            f"{count(item.together)} of {count(item.changes)}",
            interval(item.confidence, item.low, item.high),
            f"{item.lift:.1f}",
            interval(item.mean_outcome, item.outcome_low, item.outcome_high),
        )
        for item in found
    ]
    show(table(("*file", ">together", ">share", ">lift", ">outcome"), rows))


def rows(found: Rows) -> None:
    """What a SELECT found: a table, or where that is too wide each row as a list."""
    if not found.columns:
        say("nothing was found")
        return
    names = [one_line(name) for name in found.columns]
    texts = [[_value(value) for value in row] for row in found.rows]
    if len(names) * NARROWEST > console().width:
        for row in texts:
            show(facts([*zip(names, row, strict=True), ("", "")]))
    else:
        forms = (">" if _NUMERIC.search(kind) else "*" for kind in found.types)
        show(table([form + name for form, name in zip(forms, names, strict=True)], texts))
    if not found.rows:
        say("no rows")
    if found.cut:
        say(f"and more: cut after {count(len(found.rows))} rows by the limit of {found.cut}")


def _value(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, datetime):
        return when(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def forgotten(found: Forgotten) -> None:
    """How much was forgotten, or would be, and what was done to the disk."""
    kinds = ("patterns", "events", "contexts", "priors", "predictions")
    rows = [[name, count(getattr(found, name))] for name in kinds]
    if found.records:
        rows.append(["records of the journal with the text", count(found.records)])
    show(table(("kind", ">would be forgotten" if found.dry_run else ">forgotten"), rows))
    if found.erased is not None:
        done = found.erased
        say("")
        written = f"{count(done.records)} records of the journal written over"
        say(f"{written}, {size(done.bytes)} looked through;")
        say(f"evidence and vectors made anew in {done.seconds:.1f} s")
        if done.unreadable:
            say(f"{count(done.unreadable)} damaged records could not be looked through, and were left")


def backed_up(found: Backup) -> None:
    """What a backup holds, and where it is."""
    say(found.path)
    say(f"{count(found.patterns)} patterns and {count(found.events)} events, {size(found.bytes)}")
    for path in found.removed:
        say(f"removed {path}")


def restored(found: Backup) -> None:
    """What was restored, and to where."""
    say(found.path)
    say(
        f"{count(found.patterns)} patterns and {count(found.events)} events,",
        f"as of {found.made_at:%Y-%m-%d %H:%M:%S} UTC",
    )


def repaired(before: Sequence[Finding], done: Sequence[Repair], after: Sequence[Finding]) -> None:
    """What there was to look at, what was done, and what there is now."""
    findings(before)
    say("")
    if done:
        show(
            table(
                ("layer", "*repaired"), [(item.layer, cell(item.message, cut=False)) for item in done]
            )
        )
        say("")
        findings(after)
    else:
        say("nothing was repaired")


def findings(found: Sequence[Finding]) -> None:
    """What was examined, and how to mend it."""
    rows = [
        (
            item.layer,
            cell((item.status, _STATUS[item.status])),
            cell(item.message, *([(f"mend: {item.remedy}", "bold")] if item.remedy else []), cut=False),
        )
        for item in found
    ]
    show(table(("layer", "status", "*finding"), rows))
    faults = sum(item.status != "ok" for item in found)
    say("")
    say("all is well" if not faults else f"{faults} to look at")


def report(found: Report, *, dry_run: bool) -> None:
    """What an import read, wrote and left out."""
    kinds = list(dict.fromkeys([*found.read, *found.written]))
    rows = [[name, _counted(found.read, name), _counted(found.written, name)] for name in kinds]
    show(table(("kind", ">read", ">would write" if dry_run else ">written"), rows))
    for names, hint in ((_OF_OTHERS, "; --trust-judgements takes them"), (_NO_ADVICE, "")):
        left = [
            f"{count(found.left[kind])} {what}" for kind, what in names.items() if kind in found.left
        ]
        if left:
            say("")
            say(f"left out: {' and '.join(left)}{hint}")
    for item in found.left_at:
        say(f"left out {item.path}: {item.place}")
    if found.skipped:
        say("")
        for item in found.skipped:
            say(f"skipped {item.path}: {item.place}: {item.reason}")


_OF_OTHERS = {"judgements": "judgements of sources", "held": "tries of sources distrusted there"}
_NO_ADVICE = {
    "links": "links, which are not followed",
    "short": "notes that are too short to say what to do",
    "others": "Markdown files that are no rules, skills or memories; name one to import it",
}


def _counted(counts: Mapping[str, int], name: str) -> str:
    return count(counts[name]) if name in counts else NONE
