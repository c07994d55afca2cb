"""The door: every value from a caller is checked here, once, before anything is written.

Each function returns the checked value, ready for the journal, or raises
``InvalidInputError`` with what was given, what was expected and what to do.

Secrets end here as well. What takes a text wants to be told the ``secrets`` of the store and gives
it back without them; what takes an id refuses one that holds a secret. This is the place because
ids are made of texts below, so that a text must be without secrets before, and because a new caller
cannot leave out an argument that has no default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from whatworks.channels import CHECKING, EXPORT, IMPORT
from whatworks.errors import InvalidInputError
from whatworks.ids import content_id, uuid7
from whatworks.records import NewEvent, NewPattern, Pattern, Prior, Risk, UsageEvent, Where
from whatworks.redaction import UNKEYED, Secrets, kind_of
from whatworks.text import hidden, strip_ansi

if TYPE_CHECKING:
    from whatworks.records import Judgement, Selection

__all__ = ["MAX_TEXT_BYTES", "STATES", "event", "limit", "pattern", "prior", "resolution", "where"]

# One record must stay small enough to be written, synced and sent at once.
MAX_TEXT_BYTES = 65_536
MAX_ID_BYTES = 512
MAX_REASON_BYTES = 4_096
MAX_ITEMS = 1_000
MAX_IMPORTS = 16
# As ``importers.origin`` makes them.
LABEL = rf"({IMPORT}|{EXPORT}):.+@[0-9a-f]*"
# Clocks of other machines may run ahead; a day covers every time zone mix-up.
MAX_AHEAD = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_LIMIT = 1_000_000
MIN_LOOKED_FOR = 3
MAX_CHANCE = 0.5
MAX_SEED = 2**63 - 1
STATES = ("pending", "resolved", "not_used", "unknown")

T = TypeVar("T", NewPattern, NewEvent, Prior, Where, Pattern, UsageEvent)
Item = TypeVar("Item")
Choice = TypeVar("Choice", bound=str)


def shown(value: object) -> str:
    """``value`` as it appears in an error: its repr without secrets, cut to 60 characters, one line."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # thousands of digits, or of levels
        text = f"<{type(value).__name__} too large to show>"
    return _cut(UNKEYED.redacted(text[:MAX_ID_BYTES]))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def text(value: object, name: str, secrets: Secrets, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """A non-empty text without hidden characters and secrets, at most ``max_bytes`` in UTF-8."""
    given = _visible(value, name, max_bytes)
    taken = secrets.redacted(given)
    return given if taken is given else _visible(taken, name, max_bytes)  # a mark may be longer


def _visible(value: object, name: str, max_bytes: int) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} is {type(value).__name__} {shown(value)}; expected text (str)")
    if is_plain(value, max_bytes):
        return value
    if found := hidden().search(value):
        raise InvalidInputError(
            f"{name} has the hidden character U+{ord(found[0]):04X} at position {found.start()}; "
            "expected printable text: pass it through whatworks.clean_text first"
        )
    if not value.strip():
        raise InvalidInputError(f"{name} is empty; expected at least one visible character")
    size = len(value) if value.isascii() else len(value.encode())
    if size > max_bytes:
        raise InvalidInputError(
            f"{name} has {size:,} bytes; at most {max_bytes:,} are kept: "
            "shorten it, for example with whatworks.clean_text(text, max_bytes=...)"
        )
    return value


def is_plain(value: str, max_bytes: int) -> bool:
    """Whether a text has nothing to hide, as most have not."""
    plain = value.isascii() and value.isprintable() and not value.isspace()
    return plain and 0 < len(value) <= max_bytes


def known_identifier(value: object, name: str) -> str:
    """An opaque id: one line of printable text, at most 512 bytes; for what is stored already."""
    checked = _visible(value, name, MAX_ID_BYTES)
    if not checked.isprintable():
        raise InvalidInputError(
            f"{name} is {shown(checked)}; expected one line of printable characters"
        )
    return checked


def identifier(value: object, name: str) -> str:
    """As ``known_identifier``, and without secrets: a mark in its place would be another id."""
    if value.__class__ is str and _is_fine(value):
        return value
    checked = known_identifier(value, name)
    if kind := kind_of(checked):
        raise InvalidInputError(
            f"{name} holds what looks like a secret ({kind}); expected an id without one: ids are "
            "kept as they are"
        )
    return checked


@lru_cache(maxsize=8_192)  # patterns and sessions come again and again
def _is_fine(value: str) -> bool:
    return is_plain(value, MAX_ID_BYTES) and kind_of(value) is None


def optional_identifier(value: object, name: str) -> str | None:
    """As ``identifier``; ``None`` stays ``None``."""
    return None if value is None else identifier(value, name)


def context(value: object, secrets: Secrets) -> str | None:
    """A situation as text; terminal colours are taken out, ``None`` stays ``None``."""
    if value is None:
        return None
    return text(strip_ansi(value) if isinstance(value, str) else value, "context", secrets).strip()


def outcome(value: object) -> float:
    """A number in [0, 1]; ``True`` and ``False`` count as 1 and 0."""
    if not isinstance(value, (float, int, Real)):  # the classes first, as in ``metadata``
        raise InvalidInputError(
            f"outcome is {type(value).__name__} {shown(value)}; expected a number from 0 to 1, "
            "or None while it is not known"
        )
    number = _float(value)
    if not 0.0 <= number <= 1.0:  # false for NaN as well
        raise InvalidInputError(
            f"outcome is {shown(value)}; expected a number from 0 (failed) to 1 (worked)"
        )
    return number + 0.0  # -0.0 becomes 0.0


def _float(value: float | Real) -> float:
    try:
        return float(value)
    except OverflowError:  # an int, or a fraction of them
        return math.inf


def amount(value: object, name: str) -> float | None:
    """A finite number of at least 0; ``None`` stays ``None``."""
    if value is None:
        return None
    number = math.nan
    if isinstance(value, (float, int, Real)) and not isinstance(value, bool):  # as in ``outcome``
        number = _float(value)
    if not 0 <= number < math.inf:
        raise InvalidInputError(f"{name} is {shown(value)}; expected a finite number of at least 0")
    return number + 0.0


def count(value: object, name: str, *, least: int, most: int) -> int:
    """A whole number from ``least`` to ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidInputError(
            f"{name} is {shown(value)}; expected a whole number from {least} to {most:,}"
        )
    return value


def flag(value: object, name: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidInputError(f"{name} is {shown(value)}; expected True or False")
    return value


def vector(value: Iterable[float]) -> list[float]:
    """The numbers of an embedding, finite and not all 0."""
    try:
        # Of an array of NumPy this takes a tenth of the time.
        listed = value.tolist() if hasattr(value, "tolist") else value
        numbers = list(map(float, listed))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"vector is {type(value).__name__} {shown(value)}; expected numbers"
        ) from error
    finite = math.isfinite(sum(numbers)) or all(map(math.isfinite, numbers))
    if not finite or not any(numbers):
        raise InvalidInputError("vector has no direction; expected finite numbers that are not all 0")
    return numbers


def question(value: object, secrets: Secrets) -> str:
    """A question: as a context, but never absent."""
    checked = context(value, secrets)
    if checked is None:
        raise InvalidInputError("the text is None; expected at least one visible character")
    return checked


def choice(value: object, name: str, known: Sequence[Choice]) -> Choice | None:
    """One of ``known``; ``None`` stays ``None``."""
    for one in known:
        if isinstance(value, str) and value == one:
            return one
    if value is None:
        return None
    raise InvalidInputError(f"{name} is {shown(value)}; expected {' or '.join(map(repr, known))}")


class Chance(NamedTuple):
    """How the first place is given; ``seed`` is ``None`` where nobody asked for one.

    ``optimistic`` leaves nothing to chance: the best with hope stands first.
    """

    explore: float
    mask: float
    risk: Risk
    seed: int | None
    optimistic: bool = False


def chance(explore: object, mask: object, risk: object, seed: object) -> Chance:
    """How often to explore and to withhold: 0 to 0.5 each, and never where the risk is high."""
    optimistic = isinstance(explore, str) and explore == "optimistic"
    shares = 0.0 if optimistic else _chance(explore, "explore"), _chance(mask, "mask")
    if not isinstance(risk, str) or risk not in ("low", "normal", "high"):
        raise InvalidInputError(f"risk is {shown(risk)}; expected 'low', 'normal' or 'high'")
    given = None if seed is None else count(seed, "seed", least=0, most=MAX_SEED)
    if risk == "high":
        return Chance(0.0, 0.0, "high", given)
    return Chance(*shares, cast("Risk", risk), given, optimistic)


def _chance(value: object, name: str) -> float:
    number = math.nan
    if isinstance(value, (float, int, Real)) and not isinstance(value, bool):  # as in ``outcome``
        number = _float(value)
    if not 0 <= number <= MAX_CHANCE:
        word = " or 'optimistic'" if name == "explore" else ""
        raise InvalidInputError(
            f"{name} is {shown(value)}; expected a number from 0 (never) to {MAX_CHANCE}{word}"
        )
    return number + 0.0


def limit(value: object) -> int:
    """How many results are wanted: 1 to a million."""
    return count(value, "limit", least=1, most=MAX_LIMIT)


def moment(value: object, name: str, now: datetime) -> datetime:
    """A timezone-aware time from 1970 to a day ahead of ``now``, in UTC."""
    if not isinstance(value, datetime):
        raise InvalidInputError(f"{name} is {shown(value)}; expected a datetime with a time zone")
    if value.utcoffset() is None:
        raise InvalidInputError(
            f"{name} is {value.isoformat()} without a time zone; "
            "expected an aware datetime such as datetime.now(UTC)"
        )
    try:
        moved = value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInputError(f"{name} is {value.isoformat()}, out of range in UTC") from error
    if not EPOCH <= moved <= now + MAX_AHEAD:
        raise InvalidInputError(
            f"{name} is {moved.isoformat()}; expected a time from 1970 to one day ahead of "
            f"the clock, which says {now.isoformat(timespec='seconds')}"
        )
    return moved


def metadata(value: object, secrets: Secrets, name: str = "metadata") -> dict[str, Any]:
    """A JSON object of at most 64 KiB: text keys, finite numbers, no other types."""
    if not isinstance(value, (dict, Mapping)):  # the class first: the abstract one is slow to ask
        raise InvalidInputError(f"{name} is {shown(value)}; expected a mapping of JSON values")
    if not value:
        return {}
    plain: dict[str, Any] = _json(value, name, secrets, depth=0)
    import orjson

    encoded = orjson.dumps(plain)
    if len(encoded) > MAX_TEXT_BYTES:
        raise InvalidInputError(
            f"{name} has {len(encoded):,} bytes of JSON; at most {MAX_TEXT_BYTES:,} are kept"
        )
    return plain


def _json(value: object, name: str, secrets: Secrets, depth: int) -> Any:
    """A copy of ``value`` in the types that JSON knows."""
    if depth > 32:
        raise InvalidInputError(f"{name} is nested more than 32 deep; expected flatter JSON")
    if isinstance(value, Mapping):
        made = {}
        for given, item in value.items():
            key = _json_text(given, f"a key of {name}")
            shut = secrets.redacted(key)
            if isinstance(item, str):  # its name may say that it is one
                made[shut] = secrets.redacted_value(key, _json_text(item, name))
            else:
                made[shut] = _json(item, f"{name}[{_cut(ascii(shut))}]", secrets, depth + 1)
        return made
    if isinstance(value, (list, tuple)):
        return [_json(item, name, secrets, depth + 1) for item in value]
    if isinstance(value, str):
        return secrets.redacted(_json_text(value, name))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{name} is {value}; JSON has no such number, use null or text")
        return float(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidInputError(f"{name} is {shown(value)}; expected an integer of 64 bits")
        return int(value)
    raise InvalidInputError(
        f"{name} is {type(value).__name__} {shown(value)}; expected text, number, bool, None, "
        "list or mapping"
    )


def _json_text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} is {shown(value)}; expected text (str)")
    if "\x00" in value or (not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value)):
        raise InvalidInputError(
            f"{name} is {shown(value)}, with a NUL or a lone surrogate; expected valid text"
        )
    return str.__str__(value)  # of an enum its value, not its name


def names(value: object, name: str, secrets: Secrets) -> list[str]:
    """A list of at most 1,000 one-line texts, such as file or tool names."""
    if isinstance(value, str) or not isinstance(value, (tuple, list, Sequence)):  # as in ``metadata``
        raise InvalidInputError(f"{name} is {shown(value)}; expected a list of texts")
    if not value:
        return []
    if len(value) > MAX_ITEMS:
        raise InvalidInputError(f"{name} has {len(value):,} items; at most {MAX_ITEMS:,} are kept")
    what = f"an item of {name}"
    return [text(item, what, secrets, max_bytes=4_096) for item in value]


def made(kind: type[T], value: object) -> T:
    """``value`` as a ``kind``: itself, or a mapping with the names of its fields."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            f"{shown(value)} is {type(value).__name__}; expected {kind.__name__} or a mapping"
        )
    known = [item.name for item in fields(kind)]
    if unknown := [key for key in value if key not in known]:
        raise InvalidInputError(
            f"{kind.__name__} has no field {shown(unknown[0])}; its fields are {', '.join(known)}"
        )
    try:
        return kind(**value)
    except TypeError as error:
        raise InvalidInputError(f"{kind.__name__} is incomplete: {error}") from error


def micros(value: datetime) -> int:
    """Microseconds since 1970, exactly."""
    passed = value - EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def moment_of(passed: int) -> datetime:
    """The time that ``micros`` was made from."""
    return EPOCH + timedelta(0, 0, passed)  # by name it takes twice as long


def pattern(
    value: NewPattern | Mapping[str, Any] | str, now: datetime, secrets: Secrets
) -> dict[str, Any]:
    """The body of a ``pattern.added`` record; a plain text is a description."""
    given = NewPattern(value) if isinstance(value, str) else made(NewPattern, value)
    description = text(given.description, "description", secrets).strip()
    pattern_type = identifier(given.pattern_type, "pattern_type")
    pattern_id = optional_identifier(given.pattern_id, "pattern_id")
    created = None if given.created_at is None else moment(given.created_at, "created_at", now)
    return {
        # The same approach added twice is one pattern, whoever adds it.
        "pattern_id": pattern_id or content_id(pattern_type, description),
        "pattern_type": pattern_type,
        "description": description,
        "metadata": metadata(given.metadata, secrets),
        "created_at": None if created is None else micros(created),
        "recorded_at": micros(now),
    }


def event(value: NewEvent | Mapping[str, Any], now: datetime, secrets: Secrets) -> dict[str, Any]:
    """The body of an ``event.recorded`` record."""
    given = made(NewEvent, value)
    result = None if given.outcome is None else outcome(given.outcome)
    situation = context(given.context, secrets)
    recorded_at = micros(now)
    at = None if given.timestamp is None else moment(given.timestamp, "timestamp", now)
    return {
        "event_id": uuid7() if given.event_id is None else identifier(given.event_id, "event_id"),
        "given_id": given.event_id is not None,
        "pattern_id": identifier(given.pattern_id, "pattern_id"),
        "timestamp": recorded_at if at is None else micros(at),
        "state": state(given.state, result),
        "outcome": result,
        "context": situation,
        "context_id": None if situation is None else content_id(situation),
        "session_id": optional_identifier(given.session_id, "session_id"),
        "files": names(given.files, "files", secrets),
        "tools": names(given.tools, "tools", secrets),
        "duration_ms": amount(given.duration_ms, "duration_ms"),
        "cost": amount(given.cost, "cost"),
        "prediction_id": optional_identifier(given.prediction_id, "prediction_id"),
        "metadata": metadata(given.metadata, secrets),
        "recorded_at": recorded_at,
    }


def restored_pattern(value: Pattern, now: datetime, secrets: Secrets) -> dict[str, Any]:
    """The body of a ``pattern.added`` record that keeps the times of ``value``."""
    body = pattern(
        NewPattern(
            value.description, value.pattern_type, value.metadata, value.pattern_id, value.created_at
        ),
        now,
        secrets,
    )
    return body | {"recorded_at": micros(moment(value.updated_at, "updated_at", now))}


def archived(
    pattern_id: object, reason: object, at: datetime, secrets: Secrets, *, is_archived: bool = True
) -> dict[str, Any]:
    """The body of a ``pattern.archived`` record; ``at`` is checked."""
    return {
        "pattern_id": known_identifier(pattern_id, "pattern_id"),
        "archived": is_archived,
        "reason": None
        if reason is None
        else text(reason, "reason", secrets, max_bytes=MAX_REASON_BYTES),
        "at": micros(at),
    }


def restored_event(
    item: UsageEvent | Mapping[str, Any], now: datetime, secrets: Secrets
) -> dict[str, Any]:
    """The body of an ``event.recorded`` record with the origin and the outcome's time of ``item``.

    Whether a check found its outcome follows from its channel only where it does not say so itself.
    """
    value = made(UsageEvent, item)
    given = {item.name: getattr(value, item.name) for item in fields(NewEvent)}
    resolved_at, came = value.resolved_at, value.recorded_at
    channel = identifier(value.channel, "channel")
    says = not isinstance(item, Mapping) or "checked" in item
    checked = flag(value.checked, "checked") if says else channel in CHECKING
    return event(NewEvent(**given), now, secrets) | {
        "source": identifier(value.source, "source"),
        "channel": channel,
        "resolved_at": None if resolved_at is None else micros(moment(resolved_at, "resolved_at", now)),
        "recorded_at": micros(now if came is None else moment(came, "recorded_at", now)),
        "checked": checked and value.outcome is not None,
        "imported_from": imported_from(value.imported_from),
    }


def imported_from(value: Sequence[object]) -> list[str]:
    """Labels of the files that a try was imported from, 16 at most."""
    labels = unique(value, "imported_from") or []
    if len(labels) > MAX_IMPORTS:
        raise InvalidInputError(
            f"imported_from has {len(labels)} labels; at most {MAX_IMPORTS} are kept"
        )
    for label in labels:  # what is thought of a source must not reach a file by its name
        if not re.fullmatch(LABEL, label):
            raise InvalidInputError(
                f"imported_from has {shown(label)}; expected labels such as import:NAME@HASH"
            )
    return labels


def judged(value: Judgement, now: datetime) -> dict[str, Any]:
    """The body of a ``source.judged`` record."""
    if value.trust not in ("approved", "distrusted"):
        raise InvalidInputError(f"trust is {shown(value.trust)}; expected approved or distrusted")
    source = identifier(value.source, "source")
    body = {"source": source, "trust": value.trust, "recorded_at": micros(now)}
    if value.judged_at is None:
        return body
    return body | {"judged_at": micros(moment(value.judged_at, "judged_at", now))}


def state(value: object, result: float | None) -> str:
    """The state that goes with ``result``; one given must agree with it."""
    if value is None:
        return "pending" if result is None else "resolved"
    if value not in STATES:
        raise InvalidInputError(f"state is {shown(value)}; expected one of {', '.join(STATES)}")
    if (value == "resolved") != (result is not None):
        raise InvalidInputError(
            f"state is {value!r} with outcome {result}; 'resolved' needs an outcome, others have none"
        )
    return str(value)


def resolution(
    event_id: object, result: object, given_state: object, at: datetime | None, now: datetime
) -> dict[str, Any]:
    """The body of an ``event.resolved`` record."""
    number = None if result is None else outcome(result)
    if number is None and given_state not in ("not_used", "unknown"):
        raise InvalidInputError(
            "resolve needs an outcome from 0 to 1, or state='not_used' or state='unknown'"
        )
    return {
        "event_id": identifier(event_id, "event_id"),
        "state": state(given_state, number),
        "outcome": number,
        "timestamp": micros(now if at is None else moment(at, "timestamp", now)),
        "recorded_at": micros(now),
    }


def prior(value: Prior | Mapping[str, Any], now: datetime, secrets: Secrets) -> dict[str, Any]:
    """The body of a ``prior.added`` record."""
    given = made(Prior, value)
    pattern_id = identifier(given.pattern_id, "pattern_id")
    origin = known_identifier(text(given.origin, "origin", secrets, max_bytes=MAX_ID_BYTES), "origin")
    at = now if given.timestamp is None else moment(given.timestamp, "timestamp", now)
    return {
        "prior_id": optional_identifier(given.prior_id, "prior_id") or content_id(pattern_id, origin),
        "pattern_id": pattern_id,
        "success_rate": outcome(given.success_rate),
        "usage_count": count(given.usage_count, "usage_count", least=0, most=10**12),
        "origin": origin,
        "timestamp": micros(at),
        "recorded_at": micros(now),
    }


def where(value: Where | Mapping[str, Any] | None, now: datetime, secrets: Secrets) -> Where | None:
    """Checked conditions, ``None`` if there are none."""
    if value is None:
        return None
    given = made(Where, value)
    if given.pattern_type is not None:
        types = [given.pattern_type] if isinstance(given.pattern_type, str) else given.pattern_type
        given_types: tuple[str, ...] | None = tuple(names(types, "pattern_type", secrets))
    else:
        given_types = None
    values = metadata(given.metadata, secrets)
    for key, item in values.items():
        if isinstance(item, (Mapping, list, tuple)):
            raise InvalidInputError(
                f"where.metadata[{shown(key)}] is {shown(item)}; expected text, number, bool or None"
            )
    bounds = {}
    for name in ("created_after", "created_before", "used_after", "used_before"):
        bound = getattr(given, name)
        # A bound may lie in the future; only what is stored may not.
        bounds[name] = None if bound is None else moment(bound, name, datetime(9000, 1, 1, tzinfo=UTC))
    return Where(
        pattern_type=given_types,
        metadata=values,
        min_usage=count(given.min_usage, "min_usage", least=0, most=10**12),
        archived=flag(given.archived, "archived"),
        **bounds,
    )


def selection(
    patterns: Iterable[object] | str | None,
    events: Iterable[object] | str | None,
    conditions: Mapping[str, Any],
    now: datetime,
) -> Selection:
    """What is to be forgotten: ids, or conditions, and never everything.

    As it is given, secrets included: what was stored with them must be found.
    """
    from whatworks.records import Selection

    chosen = [
        tuple(unique([ids] if isinstance(ids, str) else ids, name, known_identifier) or ())
        for name, ids in (("patterns", patterns), ("events", events))
    ]
    given = {name: value for name, value in conditions.items() if value is not None}
    if any(chosen) == bool(given):
        raise InvalidInputError(
            "expected what to forget: either ids of patterns and events, or conditions "
            f"({', '.join(conditions)})"
        )
    for name in ("source", "session_id"):
        if name in given:
            known_identifier(given[name], name)
    for name in ("since", "until"):
        if name in given:
            given[name] = moment(given[name], name, now)
    if (
        "containing" in given
        and len(_visible(given["containing"], "containing", MAX_TEXT_BYTES)) < MIN_LOOKED_FOR
    ):
        raise InvalidInputError(
            f"containing is {shown(given['containing'])}; expected at least {MIN_LOOKED_FOR} characters"
        )
    return Selection(patterns=chosen[0], events=chosen[1], **given)


def unique(
    values: Iterable[object] | None, name: str, check: Callable[[object, str], str] = identifier
) -> list[str] | None:
    """Checked ids without repeats in the given order; ``None`` stays ``None``."""
    if values is None:
        return None
    given = items(values, name)
    return list(dict.fromkeys(check(value, f"an item of {name}") for value in given))


def items(values: Iterable[Item], name: str) -> Iterable[Item]:
    """``values``, if there is a list of them; a text or a mapping is one thing."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidInputError(
            f"{name} is {type(values).__name__} {shown(values)}; expected a list, even of one"
        )
    return values
