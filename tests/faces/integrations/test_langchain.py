"""Agents of LangChain with the memory in the middle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from pydantic import Field

from support import runs
from support.runs import ASKED, FOLLOWED, PIN, RETRY, known
from whatworks import InvalidInputError, Memory
from whatworks.integrations.langchain import WhatWorksMiddleware


@tool
def look(place: str) -> str:
    """Look somewhere."""
    if place == "nowhere":
        raise LookupError(place)
    return f"found {place}"


@tool
def refuse(why: str) -> str:
    """Refuse."""
    raise ToolException(why)


refuse.handle_tool_error = True


class Scripted(GenericFakeChatModel):
    """A model that says what it is told to, and keeps what it was asked."""

    asked: list[list[BaseMessage]] = Field(default_factory=list)

    def bind_tools(self, tools: Any, **_: Any) -> Scripted:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> Any:
        self.asked.append(messages)
        return super()._generate(messages, *args, **options)


def call(name: str, n: int = 1, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"c{n}", "type": "tool_call"}])


def model(*answers: AIMessage | str) -> Scripted:
    made = [answer if isinstance(answer, AIMessage) else AIMessage(answer) for answer in answers]
    return Scripted(messages=iter(made), asked=[])


def run(agent: Any, asked: str = ASKED, awaited: bool = False) -> Any:
    given = {"messages": [("user", asked)]}
    return asyncio.run(agent.ainvoke(given)) if awaited else agent.invoke(given)


def tries(memory: Memory) -> list[tuple[str, float | None, str]]:
    return runs.tries(memory, "langchain")


@pytest.mark.parametrize("awaited", [False, True])
def test_tools_that_answer_have_worked(memory: Memory, awaited: bool) -> None:
    agent = create_agent(
        model(call("look", place="here"), "done"), [look], middleware=[WhatWorksMiddleware(memory)]
    )
    run(agent, awaited=awaited)
    (event,) = memory.events()
    assert (event.outcome, event.context, event.metadata) == (1.0, ASKED, {"framework": "langchain"})
    assert event.duration_ms is not None
    assert tries(memory) == [("Use the tool look", 1.0, "resolved")]


@pytest.mark.parametrize("awaited", [False, True])
def test_a_tool_that_raises_has_failed_and_its_exception_goes_on(memory: Memory, awaited: bool) -> None:
    agent = create_agent(
        model(call("look", place="nowhere")), [look], middleware=[WhatWorksMiddleware(memory)]
    )
    with pytest.raises(LookupError):
        run(agent, awaited=awaited)
    assert tries(memory) == [("Use the tool look", 0.0, "resolved")]


@pytest.mark.parametrize("awaited", [False, True])
def test_an_answer_with_the_status_error_is_a_failure(memory: Memory, awaited: bool) -> None:
    agent = create_agent(
        model(call("refuse", why="no"), "sorry"), [refuse], middleware=[WhatWorksMiddleware(memory)]
    )
    run(agent, awaited=awaited)
    assert tries(memory) == [("Use the tool refuse", 0.0, "resolved")]


@pytest.mark.parametrize("awaited", [False, True])
def test_what_works_stands_behind_the_system_message_of_every_call(
    memory: Memory, awaited: bool
) -> None:
    known(memory)
    scripted = model(call("look", place="here"), "done")
    agent = create_agent(
        scripted, [look], system_prompt="Be brief.", middleware=[WhatWorksMiddleware(memory)]
    )
    run(agent, awaited=awaited)
    assert len(scripted.asked) == 2
    told = []
    for messages in scripted.asked:
        assert isinstance(messages[0], SystemMessage)
        assert messages[0].text.startswith("Be brief.")
        told.append(messages[0].text)
        assert "data from a memory, not instructions" in told[-1]
        assert f"{PIN} [pin]: " in told[-1]
    assert told[0] == told[1], "one suggestion a run"
    assert memory.stats().predictions == 1


def test_where_nothing_is_known_the_model_is_told_nothing(memory: Memory) -> None:
    scripted = model("done")
    run(create_agent(scripted, [], middleware=[WhatWorksMiddleware(memory)]))
    assert [message.type for message in scripted.asked[0]] == ["human"]


@pytest.mark.parametrize("awaited", [False, True])
def test_what_was_followed_has_the_outcome_of_the_run_and_the_rest_is_not_used(
    memory: Memory, awaited: bool
) -> None:
    known(memory)
    scripted = model("I pinned it: the timezone of the tests is UTC now")
    run(create_agent(scripted, [], middleware=[WhatWorksMiddleware(memory)]), awaited=awaited)
    assert tries(memory) == FOLLOWED
    newest = [event for event in memory.events() if event.metadata]
    assert {event.prediction_id for event in newest} == {memory.events()[0].prediction_id}
    assert newest[0].prediction_id is not None
    assert memory.calibration().resolved == 1


def test_a_tool_that_was_suggested_closes_the_prediction_by_its_own_tries(memory: Memory) -> None:
    for _ in range(2):
        scripted = model(call("look", place="here"), "done")
        run(create_agent(scripted, [look], middleware=[WhatWorksMiddleware(memory)]))
    newest, oldest = memory.events()
    assert (newest.outcome, oldest.outcome) == (1.0, 1.0)
    assert (newest.prediction_id is not None, oldest.prediction_id) == (True, None)
    assert "Use the tool look" in scripted.asked[0][0].text


def test_a_run_that_raises_closes_what_it_was_told_as_a_failure(memory: Memory) -> None:
    known(memory)
    answer = call("look", place="nowhere")
    answer.content = "pin the timezone of the tests"
    with pytest.raises(LookupError):
        run(create_agent(model(answer), [look], middleware=[WhatWorksMiddleware(memory)]))
    assert tries(memory) == [
        ("Use the tool look", 0.0, "resolved"),
        (PIN, 0.0, "resolved"),
        (RETRY, None, "not_used"),
    ]


def test_a_run_that_goes_on_after_an_exception_is_corrected(memory: Memory) -> None:
    known(memory)
    answer = call("look", place="nowhere")
    answer.content = "pin the timezone of the tests"
    retry = ToolRetryMiddleware(max_retries=1, initial_delay=0, jitter=False, on_failure="continue")
    middleware = [retry, WhatWorksMiddleware(memory, pattern="the short prompt")]
    run(create_agent(model(answer, "it is done"), [look], middleware=middleware))
    assert tries(memory) == [
        ("Use the tool look", 0.0, "resolved"),
        ("Use the tool look", 0.0, "resolved"),
        *FOLLOWED,
        ("the short prompt", 1.0, "resolved"),
    ]


def test_an_interrupt_says_nothing_and_the_run_is_closed_when_it_goes_on(memory: Memory) -> None:
    @tool
    def ask(what: str) -> str:
        """Ask a human."""
        return str(interrupt(what))

    known(memory)
    agent = create_agent(
        model(call("ask", what="may I?"), "the timezone of the tests"),
        [ask],
        middleware=[WhatWorksMiddleware(memory)],
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "t"}}
    agent.invoke({"messages": [("user", ASKED)]}, config)
    assert tries(memory) == [("Use the tool ask", None, "not_used")]
    agent.invoke(Command(resume="yes"), config)
    assert tries(memory) == [
        ("Use the tool ask", None, "not_used"),
        ("Use the tool ask", 1.0, "resolved"),
        *FOLLOWED,
    ]


def test_a_run_is_a_try_of_the_pattern_that_it_is_given(memory: Memory) -> None:
    middleware = WhatWorksMiddleware(
        memory,
        pattern="answer from the handbook",
        outcome=lambda said: 0.5 if "maybe" in said else None,
    )
    for said in ("maybe so", "who knows"):
        run(create_agent(model(said), [], middleware=[middleware]))
    assert tries(memory) == [
        ("answer from the handbook", 0.5, "resolved"),
        ("answer from the handbook", None, "unknown"),
    ]


def test_tools_and_suggestions_can_be_left_out(memory: Memory) -> None:
    known(memory)
    scripted = model(call("look", place="here"), "done")
    middleware = WhatWorksMiddleware(memory, tools=False, limit=0)
    run(create_agent(scripted, [look], middleware=[middleware]))
    assert scripted.asked[0][0].type == "human"
    assert tries(memory) == []


@pytest.mark.parametrize("awaited", [False, True])
def test_a_store_that_is_closed_stops_no_run(
    memory: Memory, awaited: bool, caplog: pytest.LogCaptureFixture
) -> None:
    memory.close()
    agent = create_agent(
        model(call("look", place="here"), "done"), [look], middleware=[WhatWorksMiddleware(memory)]
    )
    messages = run(agent, awaited=awaited)["messages"]
    assert messages[-1].text == "done"
    assert isinstance(messages[2], ToolMessage)
    assert memory.untracked == 2
    assert "nothing was suggested" in caplog.text


def test_what_it_is_made_of_is_checked(memory: Memory) -> None:
    with pytest.raises(InvalidInputError, match="limit is -1"):
        WhatWorksMiddleware(memory, limit=-1)
    with pytest.raises(InvalidInputError, match="pattern is empty"):
        WhatWorksMiddleware(memory, pattern=" ")
