"""What a memory holds as one file, to send or to keep: of the inspector's templates, or as Markdown."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources

from markupsafe import Markup

from whatworks.ledgers import Calibration
from whatworks.memory import Memory
from whatworks.records import Mover, Pattern
from whatworks.ui import rendering, words
from whatworks.ui.asked import Asked
from whatworks.ui.figures import Rate
from whatworks.ui.views import overview as overviews
from whatworks.ui.views import pattern as patterns
from whatworks.ui.views import sources as telling

__all__ = ["Report", "as_html", "as_markdown", "escaped", "report"]

SCRIPTS = ("vendor/echarts.common.min.js", "inspector.js")
SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$-])")


@dataclass(frozen=True, slots=True)
class Report:
    """The first page, calibration, sources, and the patterns of which the first page speaks."""

    made_at: datetime
    first: overviews.OverviewPage
    calibration: Calibration
    sources: telling.SourcesPage
    patterns: tuple[patterns.PatternPage, ...]


def report(memory: Memory, *, days: int = 7, most: int = 12) -> Report:
    """What there is to tell.

    Parameters
    ----------
    days
        The window that is new, as in ``Memory.overview``.
    most
        How many patterns have a page of their own: those that fall, rise and
        work, in this order.
    """
    first = overviews.overview(memory, Asked({"days": str(days)}))
    found = first.overview
    moved = [item.pattern.pattern_id for item in (*found.falling, *found.rising)]
    named = [*moved, *(item.pattern.pattern_id for item in found.working)]
    return Report(
        memory.clock(),
        first,
        overviews.calibration(memory, Asked({})),
        telling.sources(memory, Asked({})),
        tuple(
            patterns.pattern(memory, Asked({"id": name, "days": str(days)}))
            for name in list(dict.fromkeys(named))[:most]
        ),
    )


# -- HTML -----------------------------------------------------------------------------------------


def as_html(made: Report) -> str:
    """One file that needs no other and asks nobody: styles, scripts and data stand in it.

    A policy in it lets nothing run but the scripts that are named by their hashes.
    """
    numbers = {page.pattern.pattern_id: n for n, page in enumerate(made.patterns, 1)}

    def link(path: str, /, **values: object) -> str:
        number = numbers.get(str(values.get("id")))
        return f"#pattern-{number}" if number else "#patterns"

    style, scripts = _file("inspector.css"), [_file(name) for name in SCRIPTS]
    templates = rendering.environment()
    templates.globals["link"] = link
    return rendering.page(
        templates,
        "report.html",
        data=made,
        style=Markup(style),  # our own files, not what a store holds
        scripts=[Markup(script) for script in scripts],
        policy=f"default-src 'none'; style-src {_hashed([style])}; script-src {_hashed(scripts)}",
    )


def _file(name: str) -> str:
    text = resources.files("whatworks.ui").joinpath("static", *name.split("/")).read_text("utf-8")
    # The one thing that would end the element it stands in.
    return text.replace("</script", "<\\/script")


def _hashed(texts: Iterable[str]) -> str:
    """As a content security policy names what may stand in the page."""
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)


# -- Markdown -------------------------------------------------------------------------------------


def as_markdown(made: Report) -> str:
    """The same as tables of Markdown, without the days; texts of the store are escaped."""
    found, stats, coverage = made.first.overview, made.first.stats, made.first.coverage
    known = words.percent(coverage.known / coverage.tries) if coverage.tries else "none"
    lines = [
        "# What works",
        "",
        f"{words.when(made.made_at)} UTC: {words.many(stats.patterns, 'pattern')}, "
        f"{words.many(stats.events, 'try', 'tries')}, of which {known} have a known outcome; "
        f"{words.many(stats.predictions, 'prediction')}. Intervals are 95 % credible intervals.",
        "",
    ]
    if found.until is not None:
        lines += [
            f"The {found.window_days} days up to {found.until}, against the "
            f"{found.baseline_days} days before. "
            f"{words.many(found.compared, 'pattern has', 'patterns have')} outcomes in both; if none "
            f"had changed, about {found.by_chance:.0f} would rise and as many fall by chance.",
            "",
        ]
    lines += _section("Falling", _moved(found.falling))
    lines += _section("Rising", _moved(found.rising))
    lines += _section(
        "Works now",
        [
            {
                "pattern": _named(item.pattern),
                "worked": _rate(Rate(item.mean_outcome, item.low, item.high, item.resolved)),
            }
            for item in found.working
        ],
    )
    lines += _section(
        f"Untested ({words.count(found.untested_count)})",
        [{"pattern": _named(item)} for item in found.untested],
    )
    lines += ["## Calibration", "", *(f"- {escaped(line)}" for line in made.calibration.summary), ""]
    lines += _section("Sources", [_source(row) for row in made.sources.rows])
    return "\n".join(lines).rstrip() + "\n"


def _moved(found: Sequence[Mover]) -> list[Mapping[str, str]]:
    return [
        {
            "pattern": _named(item.pattern),
            "change, points (90 %)": f"{words.signed(item.change)} "
            f"({words.signed(item.change_low)} to {words.signed(item.change_high)})",
            "before": f"{words.percent(item.before_mean)} of {item.before_count:,}",
            "now": f"{words.percent(item.recent_mean)} of {item.recent_count:,}",
        }
        for item in found
    ]


def _source(row: telling.SourceRow) -> Mapping[str, str]:
    shared = _rate(row.shared) if row.shared else "nobody else tried them"
    return {
        "source": f"{escaped(row.source.source)}, {escaped(row.source.channel)}",
        "tries": words.count(row.source.events),
        "outcome": _rate(row.rate),
        "says of shared patterns": shared,
        "others say": words.percent(row.source.mean_others)
        + (" **disagrees**" if row.disagrees else ""),
    }


def _section(title: str, rows: Sequence[Mapping[str, str]]) -> list[str]:
    if not rows:
        return [f"## {title}", "", "None.", ""]
    columns = list(rows[0])
    table = [columns, ["---"] * len(columns), *(list(row.values()) for row in rows)]
    return [f"## {title}", "", *(f"| {' | '.join(cells)} |" for cells in table), ""]


def _named(pattern: Pattern) -> str:
    return escaped(words.short(pattern.description))


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return "no outcome yet"
    ends = f"{words.percent(rate.low)} to {words.percent(rate.high)}"
    return f"{words.percent(rate.mean)} ({ends}) of {rate.count:,}"


def escaped(text: str) -> str:
    """A text as one line in which no sign means anything to Markdown or HTML."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\&", "&amp;")
