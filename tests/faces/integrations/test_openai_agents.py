"""Agents of the OpenAI Agents SDK, with a model that is scripted and no tracing but ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    MaxTurnsExceeded,
    RunConfig,
    Runner,
    function_tool,
    set_trace_processors,
    trace,
)
from agents.testing import ScriptedModel, assistant_message, function_call

from support import runs
from support.runs import ASKED, FOLLOWED, PIN, RETRY, known
from whatworks import Memory
from whatworks.integrations.openai_agents import WhatWorks

Make = Callable[..., WhatWorks]


@pytest.fixture
def works(memory: Memory) -> Iterator[Make]:
    def make(**options: Any) -> WhatWorks:
        made = WhatWorks(memory, **options)
        set_trace_processors([made])
        return made

    yield make
    set_trace_processors([])


def tries(memory: Memory) -> list[tuple[str, float | None, str]]:
    return runs.tries(memory, "openai-agents")


@function_tool
def look(place: str) -> str:
    """Look somewhere."""
    if place == "nowhere":
        raise LookupError(place)
    return f"found {place}"


@function_tool(failure_error_function=None)
def pin(timezone: str) -> str:
    """Pin it, and fail."""
    raise OSError(timezone)


def call(name: str, n: int = 1, **args: Any) -> Any:
    return function_call(name, args, call_id=f"c{n}")


def model(*answers: Any) -> ScriptedModel:
    steps = [assistant_message(a) if isinstance(a, str) else a for a in answers]
    return ScriptedModel([[step] for step in steps])


def run(made: WhatWorks, script: ScriptedModel, asked: Any = ASKED, **options: Any) -> Any:
    agent = Agent(
        "helper", instructions=made.instructions("Be brief."), model=script, tools=[look, pin]
    )
    return asyncio.run(Runner.run(agent, asked, hooks=made.hooks, **options))


def told(script: ScriptedModel) -> list[str]:
    return [one.system_instructions or "" for one in script.calls]


def test_tools_that_answer_have_worked(memory: Memory, works: Make) -> None:
    assert run(works(), model(call("look", place="here"), "done")).final_output == "done"
    (event,) = memory.events()
    assert (event.outcome, event.context) == (1.0, ASKED)
    assert event.session_id.startswith("trace_")  # type: ignore[union-attr]
    assert 0 <= event.duration_ms < 5_000  # type: ignore[operator]
    assert tries(memory) == [("Use the tool look", 1.0, "resolved")]


def test_a_tool_that_fails_has_failed_although_its_run_goes_on(memory: Memory, works: Make) -> None:
    run(works(), model(call("look", place="nowhere"), "sorry"))
    assert tries(memory) == [("Use the tool look", 0.0, "resolved")]


def test_it_is_seen_also_where_traces_hold_no_data(memory: Memory, works: Make) -> None:
    config = RunConfig(trace_include_sensitive_data=False)
    run(works(), model(call("look", place="nowhere"), "sorry"), run_config=config)
    assert tries(memory) == [("Use the tool look", 0.0, "resolved")]


def test_what_works_stands_behind_the_instructions_of_every_turn(memory: Memory, works: Make) -> None:
    known(memory)
    script = model(call("look", place="here"), "done")
    run(works(), script)
    assert len(script.calls) == 2
    assert told(script)[0] == told(script)[1], "one suggestion a run"
    assert told(script)[0].startswith("Be brief.\n\n<whatworks-")
    assert f"{PIN} [pin]: " in told(script)[0]
    assert memory.stats().predictions == 1


def test_where_nothing_is_known_the_model_is_told_nothing(memory: Memory, works: Make) -> None:
    script = model("done")
    run(works(), script)
    assert told(script) == ["Be brief."]


def test_what_was_followed_has_the_outcome_of_the_run_and_the_rest_is_not_used(
    memory: Memory, works: Make
) -> None:
    known(memory)
    run(works(), model("I pinned it: the timezone of the tests is UTC now"))
    assert tries(memory) == FOLLOWED
    assert memory.calibration().resolved == 1


def test_a_stream_is_a_run(memory: Memory, works: Make) -> None:
    known(memory)
    made = works()
    agent = Agent(
        "helper", instructions=made.instructions(), model=model("the timezone of the tests is UTC")
    )

    async def main() -> None:
        result = Runner.run_streamed(agent, ASKED, hooks=made.hooks)
        async for _ in result.stream_events():
            pass

    asyncio.run(main())
    assert tries(memory) == FOLLOWED


def test_a_message_of_parts_has_a_situation(memory: Memory, works: Make) -> None:
    parts = [{"type": "input_text", "text": ASKED}, {"type": "input_image", "image_url": "x"}]
    run(works(), model(call("look", place="here"), "done"), [{"role": "user", "content": parts}])
    assert memory.events()[0].context == ASKED


def test_a_run_that_raises_closes_what_it_was_told_as_a_failure(memory: Memory, works: Make) -> None:
    known(memory)
    with pytest.raises(Exception, match="timezone"):
        run(works(), model(call("pin", timezone="timezone of the tests")))
    assert tries(memory) == [
        ("Use the tool pin", 0.0, "resolved"),
        (PIN, 0.0, "resolved"),
        (RETRY, None, "not_used"),
    ]


def test_a_run_that_takes_too_many_turns_has_failed(memory: Memory, works: Make) -> None:
    with pytest.raises(MaxTurnsExceeded):
        run(works(pattern="look once"), model(call("look", place="here")), max_turns=1)
    assert ("look once", 0.0, "resolved") in tries(memory)


def test_a_run_that_is_cancelled_says_nothing(memory: Memory, works: Make) -> None:
    works(pattern="wait")
    waiting = asyncio.Event()

    @function_tool
    async def wait() -> str:
        """Wait."""
        waiting.set()
        await asyncio.sleep(60)
        return ""

    agent = Agent("helper", model=model(call("wait")), tools=[wait])

    async def main() -> None:
        task = asyncio.create_task(Runner.run(agent, ASKED))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ("wait", None, "unknown") in tries(memory)


def test_runs_of_one_trace_are_kept_apart(memory: Memory, works: Make) -> None:
    made = works(pattern="answer")
    agent = Agent("helper", instructions=made.instructions(), tools=[look])

    async def one(n: int) -> None:
        script = model(call("look", place="here"), "done")
        await Runner.run(agent.clone(model=script), f"{ASKED} {n}", hooks=made.hooks)

    async def main() -> None:
        with trace("several"):
            await asyncio.gather(*map(one, range(5)))

    asyncio.run(main())
    found = sorted(event.context or "" for event in memory.events())
    assert found == sorted([f"{ASKED} {n}" for n in range(5)] * 2)
    assert made._runs == {}


def test_a_run_is_a_try_of_the_pattern_that_it_is_given(memory: Memory, works: Make) -> None:
    run(works(pattern="answer at once", outcome=lambda said: len(said) / 10), model("maybe"))
    assert tries(memory) == [("answer at once", 0.5, "resolved")]


def test_tools_and_suggestions_can_be_left_out(memory: Memory, works: Make) -> None:
    known(memory)
    script = model(call("look", place="here"), "done")
    run(works(tools=False, limit=0), script)
    assert told(script) == ["Be brief.", "Be brief."]
    assert tries(memory) == []


def test_without_tracing_it_is_told_and_nothing_is_learned(memory: Memory, works: Make) -> None:
    known(memory)
    script = model(call("look", place="here"), "done")
    run(works(), script, run_config=RunConfig(tracing_disabled=True))
    assert all(PIN in one for one in told(script))
    assert tries(memory) == []


def test_a_store_that_is_closed_stops_no_run(memory: Memory, works: Make) -> None:
    memory.close()
    assert run(works(), model(call("look", place="here"), "done")).final_output == "done"
    assert memory.untracked == 2
