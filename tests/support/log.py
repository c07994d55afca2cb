"""Journal records made by hand, and random logs of them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import orjson

from whatworks import NewEvent, NewPattern, Prior, checks
from whatworks.evidence import Evidence, fold
from whatworks.evidence.changed import Changed
from whatworks.redaction import UNKEYED

NOW = datetime(2025, 3, 14, tzinfo=UTC)
ORIGIN = {"source": "local", "channel": "library"}
STATE = (1, 2, 3)  # of tables that are filled without a journal
Log = list[tuple[str, dict[str, Any]]]


def apply(evidence: Evidence, log: Log) -> set[str]:
    """Fold records as one batch; return the patterns touched."""
    batch: dict[str, list[bytes]] = {}
    for kind, body in log:
        batch.setdefault(kind, []).append(orjson.dumps(body))
    changed = Changed(wanted=evidence.lookup.wanted)
    touched: set[str] = evidence.write(lambda con: fold.apply(con, batch, changed))
    evidence.lookup.apply(changed, STATE)
    return touched


def fill_lookup(evidence: Evidence) -> Evidence:
    """The same evidence, which answers what it can from its lookup."""
    assert evidence.fill_lookup(threading.RLock(), lambda: False)
    return evidence


def pattern(name: str, description: str = "try again", **fields: Any) -> tuple[str, dict[str, Any]]:
    return "pattern.added", checks.pattern(
        NewPattern(description, pattern_id=name, **fields), NOW, UNKEYED
    )


def event(
    name: str, pattern_id: str, outcome: float | None, **fields: Any
) -> tuple[str, dict[str, Any]]:
    given = NewEvent(pattern_id, outcome=outcome, event_id=name, **fields)
    return "event.recorded", checks.event(given, NOW, UNKEYED) | ORIGIN


def resolved(
    name: str, outcome: float | None, state: Any = None, at: datetime = NOW
) -> tuple[str, dict[str, Any]]:
    return "event.resolved", checks.resolution(name, outcome, state, at, NOW)


def random_log(random: Random, size: int) -> Log:
    """Patterns, tries, repeats, outcomes and corrections in an order in which they may come."""
    log: Log = [pattern("p0")]
    patterns, events = ["p0"], list[str]()
    for n in range(size):
        kind = random.choice(
            ["pattern", "event", "event", "event", "event", "repeat", "resolve", "prior"]
        )
        if kind == "pattern":
            name = random.choice([*patterns, f"p{n}"])
            patterns.append(name)
            log.append(pattern(name, random.choice(["try again", "other words", "wait"])))
        elif kind == "prior":
            prior = Prior(
                random.choice(patterns), random.random(), random.randrange(50), random.choice("ab")
            )
            log.append(("prior.added", checks.prior(prior, NOW, UNKEYED)))
        elif kind == "resolve" and events:
            outcome, state = random.choice(
                [(0.0, None), (1.0, None), (0.25, None), (None, "not_used"), (None, "unknown")]
            )
            log.append(resolved(random.choice(events), outcome, state, NOW + timedelta(minutes=n)))
        else:
            if kind != "repeat" or not events:
                events.append(f"e{n}")
            outcome = random.choice([None, None, 0.0, 1.0, 1.0, 0.1, 0.7])
            state = random.choice([None, "not_used", "unknown"]) if outcome is None else None
            log.append(
                event(
                    random.choice(events) if kind == "repeat" else events[-1],
                    random.choice(patterns),
                    outcome,
                    state=state,
                    context=random.choice([None, "here", "there", "elsewhere"]),
                    timestamp=NOW - timedelta(hours=random.randrange(200)),
                )
            )
    return log
