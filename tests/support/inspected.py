"""A store to be looked at with the inspector, and a browser of its own without a browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.testclient import TestClient

from whatworks import Memory, NewEvent
from whatworks.ui.app import build
from whatworks.ui.guard import Session

END = datetime(2026, 3, 14, 12, tzinfo=UTC)
BEFORE = END - timedelta(days=90)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> & \"quoted\" '{{ 7 * 7 }}'"
ORIGIN = "http://127.0.0.1:8000"


def fill(memory: Memory) -> None:
    """Patterns that rise, fall and were never tried, one of them full of hostile texts."""
    for name in ("riser", "faller"):
        memory.add_pattern(f"approach {name} of the build", pattern_id=name, created_at=BEFORE)
    memory.add_pattern(
        HOSTILE, pattern_id="hostile/<b>&?#", pattern_type="<i>", metadata={"<k>": HOSTILE}
    )
    memory.add_pattern("never tried", pattern_id="untested")
    for before, after, name in ((0.0, 1.0, "riser"), (1.0, 0.0, "faller")):
        _tries(memory, name, before, days=range(8, 30))
        _tries(memory, name, after, days=range(6))
    memory.record(
        "hostile/<b>&?#", outcome=1.0, context=HOSTILE, tools=[HOSTILE], timestamp=END, files=[HOSTILE]
    )


def _tries(memory: Memory, name: str, outcome: float, *, days: range) -> None:
    memory.record_many(
        NewEvent(
            name,
            outcome=outcome,
            context=f"the build fails in module {day % 5}",
            files=["src/main.py", f"src/part_{day % 3}.py"],
            tools=["linter 1" if day > 6 else "linter 2"],
            timestamp=END - timedelta(days=day),
            event_id=f"{name}-{day}",
        )
        for day in days
    )


class Browser:
    """What a browser would do that was given the address."""

    def __init__(self, memory: Memory) -> None:
        self.session = Session()
        app = build(memory, self.session, port=8000)
        self.stranger = TestClient(app, base_url=ORIGIN, follow_redirects=False)
        self.client = TestClient(app, base_url=ORIGIN)
        assert self.client.get("/", params={"token": self.session.token}).status_code == 200

    def get(self, path: str, /, **fields: object) -> Any:
        given = {name: str(value) for name, value in fields.items()}
        return self.client.get(path, params=given or None)  # an empty one would take the query away

    def page(self, path: str, /, **fields: object) -> str:
        answer = self.get(path, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    def data(self, path: str, /, **fields: object) -> Any:
        answer = self.get(f"{path}.json", **fields)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def post(self, path: str, /, **fields: str) -> Any:
        given = {"csrf": self.session.csrf} | fields
        return self.client.post(path, data=given, headers={"origin": ORIGIN}, follow_redirects=False)
