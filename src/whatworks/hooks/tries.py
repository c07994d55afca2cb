"""What a session taught, as it is recorded: the same from hooks and from transcripts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from whatworks.hooks.sessions import Learned
from whatworks.ids import content_id
from whatworks.records import NewEvent, NewPattern
from whatworks.text import clean_text

__all__ = ["records"]

PATTERN_TYPE = "repair"
MAX_CONTEXT = 4_000
MAX_FILES, MAX_NAME = 100, 1_000


def records(
    learned: Learned, session: str, metadata: Mapping[str, Any]
) -> tuple[NewPattern | None, NewEvent]:
    """The try, and its pattern unless that is known."""
    pattern, pattern_id = None, learned.pattern
    if not learned.known:
        description = clean_text(learned.pattern)
        pattern_id = content_id(PATTERN_TYPE, description)
        pattern = NewPattern(description, PATTERN_TYPE, pattern_id=pattern_id)
    names = filter(None, map(clean_text, learned.files))
    event = NewEvent(
        pattern_id,
        outcome=learned.outcome,
        state=learned.state,
        context=clean_text(learned.context, max_bytes=MAX_CONTEXT) or None,
        timestamp=datetime.fromtimestamp(learned.at, UTC),
        event_id=learned.event_id,
        session_id=session,
        files=[name[:MAX_NAME] for name in names][:MAX_FILES],
        duration_ms=learned.milliseconds,
        prediction_id=learned.prediction,
        metadata=metadata,
    )
    return pattern, event
