"""What else changed in the tries of a pattern when its outcomes did, as SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import orjson

from whatworks.checks import micros
from whatworks.evidence.database import Evidence
from whatworks.evidence.questions import STATES, naive
from whatworks.evidence.rows import listed
from whatworks.records import Coincidence

__all__ = ["coincidences"]

# A value is worth naming if its share of the tries moved by half; so many are named.
MOVED, NAMED = 0.5, 5


def coincidences(
    evidence: Evidence, begun: Mapping[int, datetime], as_of: datetime | None
) -> dict[int, tuple[Coincidence, ...]]:
    """For each pattern the sources, channels, tools and metadata that came or went, largest first."""
    # As of a time, only what was resolved by then counts.
    then, resolved = "", "e.state = 'resolved'"
    if as_of is not None:
        then = f"{STATES},"
        resolved = "event_key IN (SELECT event_key FROM states WHERE state = 'resolved')"
    numbers = listed(begun)  # by these alone the engine passes over what belongs to others
    query = f"""
        WITH {then}
        begun AS (SELECT p[1] AS pattern_no, make_timestamp(p[2]) AS start
                       FROM (SELECT unnest(from_json(?::JSON, '[["BIGINT"]]')) AS p)),
        tries AS (
            SELECT e.pattern_no, e.event_key, e.timestamp >= start AS late, source, channel, tools,
                   metadata
            FROM event_rows e JOIN begun USING (pattern_no)
            WHERE pattern_no IN ({numbers}) AND {resolved}),
        sizes AS (
            SELECT pattern_no, count(*) FILTER (NOT late) AS before, count(*) FILTER (late) AS after
            FROM tries GROUP BY pattern_no HAVING before > 0 AND after > 0),
        keys AS (SELECT *, unnest(json_keys(metadata)) AS key FROM tries WHERE metadata <> '{{}}'),
        found AS (
            SELECT pattern_no, event_key, late, 'source' AS field, source AS value FROM tries
            UNION ALL SELECT pattern_no, event_key, late, 'channel', channel FROM tries
            UNION ALL SELECT pattern_no, event_key, late, 'tool', unnest(tools) FROM tries
            UNION ALL SELECT pattern_no, event_key, late, key,
                metadata ->> ('/' || replace(replace(key, '~', '~0'), '/', '~1')) FROM keys),
        shares AS (
            SELECT pattern_no, field, value,
                   count(DISTINCT event_key) FILTER (NOT late) / any_value(before) AS earlier,
                   count(DISTINCT event_key) FILTER (late) / any_value(after) AS later
            FROM found JOIN sizes USING (pattern_no) WHERE value IS NOT NULL GROUP BY ALL)
        SELECT pattern_no, field, value, earlier, later FROM shares
        WHERE abs(later - earlier) >= {MOVED}
        QUALIFY row_number() OVER (PARTITION BY pattern_no
                                   ORDER BY abs(later - earlier) DESC, field, value) <= {NAMED}
        ORDER BY pattern_no, abs(later - earlier) DESC, later DESC, field, value
    """
    values: list[object] = [orjson.dumps([[n, micros(at)] for n, at in begun.items()]).decode()]
    named: dict[int, tuple[Coincidence, ...]] = {}
    for number, *told in evidence.rows(query, [naive(as_of), *values] if as_of else values):
        named[number] = (*named.get(number, ()), Coincidence(*told))
    return named
