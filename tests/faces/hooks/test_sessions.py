"""What coding agents do becomes tries with outcomes, without anybody saying so."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from whatworks import Memory
from whatworks.hooks import spool
from whatworks.hooks.absorb import absorb, showed, waiting
from whatworks.hooks.happenings import happening
from whatworks.hooks.sessions import Advice, Learned, learn

FAILED = "Exit code 1\nE   ModuleNotFoundError: No module named 'yaml'\n=== 1 failed in 0.1s ==="
PASSED = {"stdout": "=== 4 passed in 0.2s ===", "stderr": "", "interrupted": False}


def prompt(text: str) -> dict[str, Any]:
    return {"hook_event_name": "UserPromptSubmit", "prompt": text}


def ran(command: str, result: Any = None, *, failed: str = "") -> dict[str, Any]:
    base = {"tool_name": "Bash", "tool_input": {"command": command}, "duration_ms": 12}
    if failed:
        return base | {"hook_event_name": "PostToolUseFailure", "error": failed, "is_interrupt": False}
    return base | {
        "hook_event_name": "PostToolUse",
        "tool_response": {"stdout": "", "stderr": ""} if result is None else result,
    }


def edited(path: str) -> dict[str, Any]:
    return {"hook_event_name": "PostToolUse", "tool_name": "Edit", "tool_input": {"file_path": path}}


def stop(said: str = "") -> dict[str, Any]:
    return {"hook_event_name": "Stop", "last_assistant_message": said}


def tries(
    *payloads: dict[str, Any], advice: tuple[Advice, ...] = (), over: bool = False
) -> list[Learned]:
    found = [item for n, one in enumerate(payloads) if (item := happening(one, float(n)))]
    return list(learn("s", found, {one.pattern_id: one for one in advice}, over=over))


# -- repairs ----------------------------------------------------------------------------------------


def test_what_lies_between_a_failing_check_and_its_next_run_is_a_try() -> None:
    (made,) = tries(
        prompt("make the tests pass"),
        ran("cd app && pytest -x", failed=FAILED),
        ran("pip install pyyaml"),
        ran("cat app.py"),
        edited("/home/ada/pyproject.toml"),
        ran("python -m pytest", PASSED),
    )
    assert made.pattern == "run pip install pyyaml; edit pyproject.toml"
    assert made.context == "pytest -x fails: ModuleNotFoundError: No module named 'yaml'"
    assert (made.outcome, made.state, made.files) == (
        1.0,
        "resolved",
        ("/home/ada/pyproject.toml",),
    )
    assert made.milliseconds == 4_000


def test_a_repair_that_does_not_help_is_a_failure_and_the_next_try_begins() -> None:
    first, second = tries(
        ran("pytest", failed=FAILED),
        edited("a.py"),
        ran("pytest", failed="Exit code 1\nTypeError: bad operand"),
        edited("b.py"),
        ran("pytest | tail -3", PASSED),
    )
    assert (first.pattern, first.outcome) == ("edit a.py", 0.0)
    assert (second.pattern, second.outcome) == ("edit b.py", 1.0)
    assert second.context == "pytest fails: TypeError: bad operand"


def test_a_pipe_does_not_make_a_failure_a_success() -> None:
    hidden = {"stdout": "=== 2 failed, 3 passed in 1s ===", "stderr": ""}
    made = tries(ran("pytest | tail -3", hidden), edited("a.py"), ran("pytest | tail -3", hidden))
    assert [one.outcome for one in made] == [0.0]


@pytest.mark.parametrize(
    ("failing", "passing"),
    [
        ("pytest", "grep -rn pytest setup.cfg"),
        ("pytest", "pip install pytest"),
        ("pytest", "pytest --version"),
        ("pytest tests/", "pytest tests/test_one.py"),
        ("make test", "make clean"),
        ("npm test", "npm run build"),
        ("cargo test", "cargo build"),
    ],
)
def test_another_command_does_not_say_that_it_is_repaired(failing: str, passing: str) -> None:
    made = tries(ran(failing, failed="Exit code 2"), edited("a.py"), ran(passing), over=True)
    assert [one.state for one in made] == ["unknown"]


def test_a_run_of_everything_says_it_of_each_part() -> None:
    made = tries(
        ran("pytest tests/a.py", failed=FAILED), edited("a.py"), ran("timeout 60 uv run pytest -q")
    )
    assert [one.outcome for one in made] == [1.0]


@pytest.mark.parametrize(
    ("payload", "ok"),
    [
        (
            {"hook_event_name": "AfterTool", "tool_name": "run_shell_command"}
            | {
                "tool_input": {"command": "npx tsc"},
                "tool_response": {"llmContent": "x\nExit Code: 2\n"},
            },
            False,
        ),
        (
            {"hook_event_name": "PostToolUse", "tool_name": "shell", "tool_input": {"command": "make"}}
            | {"tool_response": "Exit code: 1\nOutput: no"},
            False,
        ),
        (
            {
                "hook_event_name": "tool.execute.after",
                "input": {"tool": "bash", "args": {"command": "make"}},
            }
            | {"output": {"output": "no", "metadata": {"exit": 2}}},
            False,
        ),
        ({"hook_event_name": "afterShellExecution", "command": "make", "output": "fine"}, None),
    ],
)
def test_each_harness_says_in_its_own_way_whether_a_command_failed(
    payload: dict[str, Any], ok: bool | None
) -> None:
    item = happening(payload, 0.0)
    assert item is not None
    assert (item.kind, item.ok) == ("command", ok)


def test_the_files_of_a_patch_are_those_it_names() -> None:
    patch = "*** Begin Patch\n*** Update File: src/a.py\n+x\n*** End Patch"
    payload = {
        "hook_event_name": "PostToolUse",
        "tool_name": "apply_patch",
        "tool_input": {"command": patch},
    }
    item = happening(payload, 0.0)
    assert item is not None
    assert (item.kind, item.files) == ("edit", ("src/a.py",))


def test_running_it_again_without_doing_anything_is_no_try() -> None:
    assert tries(ran("pytest", failed=FAILED), ran("ls"), ran("pytest", PASSED), over=True) == []


def test_checks_are_told_apart() -> None:
    made = tries(
        ran("pytest", failed=FAILED),
        ran("npm test", failed="Exit code 1\nError: Cannot find module 'express'"),
        ran("npm install express"),
        ran("npm test", {"stdout": "Tests:  3 passed"}),
        edited("app.py"),
        ran("pytest", PASSED),
    )
    assert [(one.pattern, one.outcome) for one in made] == [
        ("run npm install express", 1.0),
        ("run npm install express; edit app.py", 1.0),
    ]


def test_what_is_never_checked_again_has_no_outcome() -> None:
    assert tries(ran("pytest", failed=FAILED), edited("a.py")) == []
    (made,) = tries(ran("pytest", failed=FAILED), edited("a.py"), over=True)
    assert (made.outcome, made.state) == (None, "unknown")


def test_an_interrupted_check_says_nothing() -> None:
    stopped = ran("pytest", failed="interrupted") | {"is_interrupt": True}
    made = tries(ran("pytest", failed=FAILED), edited("a.py"), stopped, ran("pytest", PASSED))
    assert [one.outcome for one in made] == [1.0]


@pytest.mark.parametrize(
    "after", [ran("git checkout -- ."), ran("git revert HEAD"), prompt("No, that's wrong. Try again")]
)
def test_what_is_taken_back_did_not_work(after: dict[str, Any]) -> None:
    first, corrected = tries(
        ran("pytest", failed=FAILED), edited("a.py"), ran("pytest", PASSED), stop(), after
    )
    assert (first.outcome, corrected.outcome) == (1.0, 0.0)
    assert first.event_id == corrected.event_id


def test_the_same_session_read_again_gives_the_same_ids() -> None:
    script = [ran("pytest", failed=FAILED), edited("a.py"), ran("pytest", PASSED), stop()]
    longer = [
        *script,
        prompt("next"),
        ran("pytest", failed=FAILED),
        edited("b.py"),
        ran("pytest", PASSED),
    ]
    assert tries(*script) == tries(*longer)[:1]


# -- advice -----------------------------------------------------------------------------------------

INSTALL = Advice("p1", "run pip install pyyaml")
PIN = Advice("p2", "pin the timezone to UTC in the test environment")


def shown(*names: str) -> dict[str, Any]:
    return {
        "hook_event_name": "whatworks.shown",
        "patterns": list(names),
        "prediction_id": "r1",
        "prompt": "fix it",
    }


def test_advice_whose_actions_were_taken_ended_as_the_check_did() -> None:
    used, other, _ = sorted(
        tries(
            shown("p1", "p2"),
            prompt("fix it"),
            ran("pytest", failed=FAILED),
            ran("pip install pyyaml"),
            ran("pytest", PASSED),
            stop("Done."),
            advice=(INSTALL, PIN),
        ),
        key=lambda one: (not one.known, one.pattern),
    )
    assert (used.pattern, used.outcome, used.prediction) == ("p1", 1.0, "r1")
    assert (other.pattern, other.state, other.outcome) == ("p2", "not_used", None)


def test_advice_that_is_told_at_the_end_was_followed() -> None:
    (made,) = tries(
        prompt("fix it"),
        shown("p2"),
        ran("pytest", failed=FAILED),
        ran("pytest", PASSED),
        stop("I pinned nothing else: the timezone in the test environment is now set to UTC."),
        advice=(PIN,),
    )
    assert (made.state, made.outcome) == ("resolved", 1.0)


def test_advice_that_was_followed_without_a_check_is_unknown() -> None:
    (made,) = tries(prompt("fix it"), shown("p1"), ran("pip install pyyaml"), stop(), advice=(INSTALL,))
    assert (made.state, made.outcome) == ("unknown", None)


# -- the way into the memory ------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def memory(store: Path) -> Iterator[Memory]:
    with Memory.open(store, embedder="none", channel="hook") as opened:
        yield opened


def spooled(store: Path, *payloads: dict[str, Any], session: str = "s1") -> None:
    for payload in payloads:
        spool.append(store, "claude", session, payload)


def test_each_try_is_recorded_once_however_often_the_spool_is_read(memory: Memory, store: Path) -> None:
    script = [ran("pytest", failed=FAILED), edited("a.py"), ran("pytest", PASSED)]
    counts = []
    for payload in script:
        spooled(store, payload)
        counts.append(absorb(memory, store))
    assert counts == [0, 0, 1]
    assert (absorb(memory, store), waiting(store)) == (0, [])
    spooled(store, ran("git checkout -- a.py"))
    assert absorb(memory, store) == 1
    (event,) = memory.events()
    assert (event.outcome, event.channel, event.session_id) == (0.0, "hook", "claude-s1")
    spooled(store, {"hook_event_name": "SessionEnd", "reason": "other"})
    absorb(memory, store)
    assert len(memory.events()) == 1
    assert waiting(store) == []
    os.utime(store / "spool" / "s1.jsonl", (0, 0))
    absorb(memory, store)
    assert [path.name for path in (store / "spool").iterdir()] == ["lock"]


def test_a_session_that_is_taken_up_again_goes_on(memory: Memory, store: Path) -> None:
    repair = [ran("pytest", failed=FAILED), edited("a.py"), ran("pytest", PASSED)]
    spooled(store, *repair, {"hook_event_name": "SessionEnd"})
    absorb(memory, store)
    spooled(store, ran("pytest", failed=FAILED), edited("a.py"), ran("pytest", failed=FAILED))
    absorb(memory, store)
    assert sorted(event.outcome for event in memory.events()) == [0.0, 1.0]


def test_what_somebody_else_corrected_stays(memory: Memory, store: Path) -> None:
    spooled(store, ran("pytest", failed=FAILED), edited("a.py"), ran("pytest", PASSED))
    absorb(memory, store)
    (event,) = memory.events()
    memory.resolve(event.event_id, outcome=0.25)
    spooled(store, stop("done"))
    absorb(memory, store)
    assert memory.get_event(event.event_id).outcome == 0.25


def test_a_hook_may_write_before_there_is_a_store(tmp_path: Path) -> None:
    spooled(tmp_path / "new", prompt("hello"))
    with Memory.open(tmp_path / "new", embedder="none") as memory:
        assert absorb(memory, tmp_path / "new") == 0


def test_an_agent_that_never_calls_resolves_what_it_was_shown(tmp_path: Path) -> None:
    store, count = tmp_path / "store", itertools.count()
    fixes = {
        "yaml": "pip install pyyaml",
        "requests": "pip install requests",
        "attrs": "pip install attrs",
    }

    def task(memory: Memory, missing: str, *, follow: bool) -> None:
        session = f"t{next(count)}"
        question = f"the tests fail: No module named {missing}"
        suggestion = memory.suggest(question)
        spooled(store, prompt(question), session=session)
        showed(store, suggestion.prediction, session)
        error = f"Exit code 1\nModuleNotFoundError: No module named '{missing}'\n=== 1 failed ==="
        right = suggestion.text and fixes[missing] in suggestion.text and follow
        steps = [fixes[missing]] if right else ["pip install wrong", fixes[missing]]
        spooled(store, ran("pytest", failed=error), session=session)
        for step in steps:
            spooled(store, ran(step), session=session)
            done = ran("pytest", PASSED) if step == fixes[missing] else ran("pytest", failed=error)
            spooled(store, done, session=session)
        spooled(store, stop(), {"hook_event_name": "SessionEnd"}, session=session)
        absorb(memory, store)

    with Memory.open(store, channel="hook") as memory:
        for number, missing in enumerate(list(fixes) * 8):
            task(memory, missing, follow=number % 4 > 0)
        named = [event for event in memory.iter_events() if event.prediction_id]
        assert len(named) >= 20
        resolved = [event for event in named if event.state in ("resolved", "not_used")]
        assert len(resolved) >= 0.8 * len(named)
        best = memory.predict("the tests fail: No module named yaml").answers[0]
        assert best.pattern.description == "run pip install pyyaml"


def test_secrets_and_long_texts_do_not_reach_the_spool(store: Path) -> None:
    store.mkdir()
    long = "x" * 100_000
    command = "curl -H 'Authorization: Bearer abcdef1234567890' && export API_KEY=sk-abcdefgh123456"
    spooled(store, ran(command, {"stdout": long}))
    dangerous = {
        "password": "hunter2hunter2",
        "content": "whole file",
        "url": "postgres://u:hunter3@h/db",
    }
    header = "x" * 1_990 + " Authorization: Basic aGVsbG86d29ybGQ= " + "y" * 9_000
    spooled(store, {"tool_name": "mcp__db", "tool_input": dangerous | {"header": header}})
    written = (store / "spool" / "s1.jsonl").read_text()
    assert "abcdef1234567890" not in written
    for secret in ("sk-abcdefgh", "hunter", "whole file", "aGVsbG8"):
        assert secret not in written
    assert len(written) < 15_000


def test_nonsense_in_the_spool_is_passed_over(memory: Memory, store: Path) -> None:
    spooled(store, {}, {"hook_event_name": 7}, ran("pytest", failed=FAILED))
    with (store / "spool" / "s1.jsonl").open("ab") as file:
        file.write(b'not json\n[1]\n{"payload": 3}\n\xff\xfe\n')
    spooled(store, edited("a.py"), ran("pytest", PASSED))
    assert absorb(memory, store) == 1
