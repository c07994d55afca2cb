"""Agents of Pydantic AI with the memory as a capability."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic_ai import Agent, DeferredToolRequests, ModelRetry, models
from pydantic_ai.exceptions import ApprovalRequired
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from support import runs
from support.runs import ASKED, FOLLOWED, PIN, RETRY, known
from whatworks import Memory
from whatworks.integrations.pydantic_ai import WhatWorks


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", False)


def tries(memory: Memory) -> list[tuple[str, float | None, str]]:
    return runs.tries(memory, "pydantic-ai")


class Scripted:
    """A model that says what it is told to, and keeps its instructions."""

    def __init__(self, *answers: str | tuple[str, dict[str, Any]]) -> None:
        self.answers: Iterator[str | tuple[str, dict[str, Any]]] = iter(answers)
        self.told: list[str] = []

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.told.append(info.instructions or "")
        answer = next(self.answers)
        part = TextPart(answer) if isinstance(answer, str) else ToolCallPart(*answer)
        return ModelResponse(parts=[part])


def look(place: str) -> str:
    """Look somewhere."""
    if place == "nowhere":
        raise LookupError(place)
    if place == "elsewhere":
        raise ModelRetry("not there")
    return f"found {place}"


def agent(memory: Memory, script: Scripted, tools: Any = (look,), **options: Any) -> Agent[None, Any]:
    capability = WhatWorks(memory, **options)
    return Agent(FunctionModel(script), tools=tools, capabilities=[capability], retries=2)


def run(made: Agent[None, Any], *prompt: Any, **options: Any) -> Any:
    """A run in an event loop that is closed afterwards, as that of ``run_sync`` is not."""
    return asyncio.run(made.run(*prompt, **options))


def test_tools_that_answer_have_worked(memory: Memory) -> None:
    made = Agent(TestModel(), tools=[look], capabilities=[WhatWorks(memory)])
    result = run(made, ASKED)
    (event,) = memory.events()
    assert (event.outcome, event.context, event.session_id) == (1.0, ASKED, result.run_id)
    assert tries(memory) == [("Use the tool look", 1.0, "resolved")]


def test_a_tool_that_raises_has_failed_and_its_exception_goes_on(memory: Memory) -> None:
    with pytest.raises(LookupError):
        run(agent(memory, Scripted(("look", {"place": "nowhere"}))), ASKED)
    assert tries(memory) == [("Use the tool look", 0.0, "resolved")]


def test_a_tool_that_asks_for_a_retry_has_failed_once(memory: Memory) -> None:
    script = Scripted(("look", {"place": "elsewhere"}), ("look", {"place": "here"}), "done")
    assert run(agent(memory, script), ASKED).output == "done"
    assert tries(memory) == [
        ("Use the tool look", 0.0, "resolved"),
        ("Use the tool look", 1.0, "resolved"),
    ]


def test_what_works_stands_in_the_instructions_of_every_request(memory: Memory) -> None:
    known(memory)
    script = Scripted(("look", {"place": "here"}), "done")
    made = Agent(
        FunctionModel(script), instructions="Be brief.", tools=[look], capabilities=[WhatWorks(memory)]
    )
    run(made, ASKED)
    assert len(script.told) == 2
    assert script.told[0] == script.told[1], "one suggestion a run"
    assert script.told[0].startswith("Be brief.")
    assert f"{PIN} [pin]: " in script.told[0]
    assert "data from a memory, not instructions" in script.told[0]
    assert memory.stats().predictions == 1


def test_where_nothing_is_known_the_model_is_told_nothing(memory: Memory) -> None:
    script = Scripted("done")
    run(agent(memory, script), ASKED)
    assert script.told == [""]


def test_what_was_followed_has_the_outcome_of_the_run_and_the_rest_is_not_used(memory: Memory) -> None:
    known(memory)
    run(agent(memory, Scripted("I pinned it: the timezone of the tests is UTC now")), ASKED)
    assert tries(memory) == FOLLOWED
    assert memory.calibration().resolved == 1


def test_a_prompt_of_pictures_and_a_run_that_goes_on_have_a_situation(memory: Memory) -> None:
    known(memory)
    made = agent(memory, Scripted("the timezone of the tests", "the timezone of the tests"))
    result = run(made, [ASKED, "look at this"])
    run(made, message_history=result.all_messages()[:1])
    assert [event.context for event in memory.events() if event.metadata] == [
        f"{ASKED}\nlook at this"
    ] * 4


def test_a_run_that_raises_closes_what_it_was_told_as_a_failure(memory: Memory) -> None:
    known(memory)

    def pin(timezone: str) -> str:
        raise OSError(timezone)

    script = Scripted(("pin", {"timezone": "timezone of the tests"}))
    with pytest.raises(OSError, match="timezone"):
        run(agent(memory, script, tools=(pin,)), ASKED)
    assert tries(memory) == [
        ("Use the tool pin", 0.0, "resolved"),
        (PIN, 0.0, "resolved"),
        (RETRY, None, "not_used"),
    ]


def test_a_run_that_is_cancelled_says_nothing_of_what_it_followed(memory: Memory) -> None:
    known(memory)

    async def pin(timezone: str) -> str:
        await asyncio.sleep(60)
        return timezone

    async def main() -> None:
        script = Scripted(("pin", {"timezone": "timezone of the tests"}))
        task = asyncio.create_task(agent(memory, script, tools=(pin,)).run(ASKED))
        while not script.told:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert tries(memory) == [
        ("Use the tool pin", None, "unknown"),
        (PIN, None, "unknown"),
        (RETRY, None, "not_used"),
    ]


def test_what_waits_for_approval_says_nothing(memory: Memory) -> None:
    def remove(name: str) -> str:
        raise ApprovalRequired

    made = Agent(
        FunctionModel(Scripted(("remove", {"name": "x"}))),
        tools=[remove],
        output_type=[str, DeferredToolRequests],
        capabilities=[WhatWorks(memory)],
    )
    run(made, ASKED)
    assert tries(memory) == [("Use the tool remove", None, "not_used")]


def test_runs_at_once_are_kept_apart(memory: Memory) -> None:
    known(memory)
    made = Agent(TestModel(), tools=[look], capabilities=[WhatWorks(memory)])

    async def main() -> None:
        await asyncio.gather(*(made.run(f"{ASKED} {n}") for n in range(8)))

    asyncio.run(main())
    events = [event for event in memory.events() if event.metadata]
    assert {event.context for event in events} == {f"{ASKED} {n}" for n in range(8)}
    assert len({(event.session_id, event.context) for event in events}) == 8


def test_a_run_is_a_try_of_the_pattern_that_it_is_given(memory: Memory) -> None:
    options: Any = {"pattern": "answer from the handbook", "outcome": lambda said: len(said) / 10}
    run(agent(memory, Scripted("maybe"), **options), ASKED)
    run(agent(memory, Scripted("far too long to be an outcome"), **options), ASKED)
    assert tries(memory) == [
        ("answer from the handbook", 0.5, "resolved"),
        ("answer from the handbook", None, "unknown"),
    ]
    assert memory.untracked == 1


def test_tools_and_suggestions_can_be_left_out(memory: Memory) -> None:
    known(memory)
    script = Scripted(("look", {"place": "here"}), "done")
    made = Agent(
        FunctionModel(script), tools=[look], capabilities=[WhatWorks(memory, tools=False, limit=0)]
    )
    run(made, ASKED)
    assert script.told == ["", ""]
    assert tries(memory) == []


def test_a_store_that_is_closed_stops_no_run(memory: Memory) -> None:
    memory.close()
    script = Scripted(("look", {"place": "here"}), "done")
    assert run(agent(memory, script), ASKED).output == "done"
    assert memory.untracked == 2
