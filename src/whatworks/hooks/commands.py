"""Commands as agents type them: which of them check the work, and how a check ended."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Check", "check", "complaint", "passed", "plain", "reverted"]

# What says whether the work is right: the beginnings of commands.
_CHECKS = tuple(
    (name, re.compile(rf"{pattern}(?=\s|$)"))
    for name, pattern in (
        ("pytest", r"(?:py\.?test|python[\d.]* -m (?:pytest|unittest))"),
        ("tox", r"(?:tox|nox)"),
        ("cargo", r"cargo (?:\+\S+ )?(test|nextest|build|check|clippy)"),
        ("npm", r"(?:npm|pnpm|yarn|bun)(?: run)? (test|t|build|lint|typecheck|check)\S*"),
        ("jest", r"(?:jest|vitest|mocha|playwright test)"),
        ("tsc", r"(tsc|eslint|biome)"),
        ("go", r"go (test|build|vet)"),
        ("make", r"make"),
        ("gradle", r"(?:\./)?(?:gradlew?|mvnw?)"),
        ("ctest", r"(?:ctest|ninja|cmake --build)"),
        ("dotnet", r"dotnet (test|build)"),
        ("ruff", r"(ruff|mypy|pyright|flake8|pylint)"),
    )
)
_SEPARATORS = re.compile(r"\s*(?:&&|\|\||[;|\n])\s*")
_BEFORE = re.compile(
    r"^(?:[A-Za-z_][A-Za-z0-9_]*=\S* +|(?:sudo|time|env|exec|command|nice|npx|bunx|uvx|xvfb-run) +|"
    r"timeout +\S+ +|(?:uv|poetry|pipenv|hatch|rye|pdm) run +|\S*/bin/)+"
)
_NO_RUN = re.compile(r"(?:^|\s)(?:--version|--help|-h|-V|--collect-only|--list|--dry-run)(?:\s|$)")
_REDIRECTION = re.compile(r"\d?>+(?:&\d|\s*\S+)?")
_FAILED = re.compile(
    r"^=+ .*\b\d+ (?:failed|errors?)\b|^test result: FAILED|^FAIL(?:ED)?\b|^Tests?:.*\b\d+ failed|"
    r"^npm ERR!|\bBUILD FAILED\b|^error(?:\[\w+\])?:|^make: \*\*\*|^Found \d+ errors?",
    re.MULTILINE,
)
_PASSED = re.compile(
    r"^=+ .*\b\d+ passed\b|^test result: ok|^ok\s+\S+\s+[\d.]+s|^PASS\b|^Tests?:\s+\d+ passed|"
    r"\bBUILD SUCCESS|^All checks passed|^Success: no issues",
    re.MULTILINE,
)
_COMPLAINT = re.compile(
    r"\w*(?:Error|Exception)\b[:( ].*|\berror(?:\[\w+\])?[:( ].*|^E\s{2,}\S.*|^FAILED .*|"
    r".*panicked at.*|.*cannot find .*|.*not found.*|.*undefined.*",
    re.IGNORECASE | re.MULTILINE,
)
_REVERT = re.compile(
    r"\bgit (?:revert|reset --hard|checkout (?:HEAD )?-- |checkout \.(?:\s|$)|"
    r"restore(?! --staged)|stash(?! (?:pop|apply|list|show)))"
)
_CD = re.compile(r"^(?:cd \S+ *(?:&&|;) *)+")
_VARIABLES = re.compile(r"^(?:[A-Za-z_][A-Za-z0-9_]*=\S* +)+")
MOST = 120


class Check(NamedTuple):
    """A check, and what it was run on: nothing named is everything there is."""

    name: str
    targets: tuple[str, ...] = ()


def check(command: str) -> Check | None:
    """The check that a command runs, ``None`` if it is none: commands that name one are none.

    Options play no part, so that ``pytest -x`` and ``pytest -q`` are the same.

    Examples
    --------
    >>> check("cd app && python -m pytest -x tests/")
    Check(name='pytest', targets=('tests/',))
    >>> check("cargo test"), check("grep -rn pytest ."), check("make --version")
    (Check(name='cargo test', targets=()), None, None)
    """
    for part in _SEPARATORS.split(command.strip()):
        simple = _BEFORE.sub("", part)
        for name, pattern in _CHECKS:
            found = pattern.match(simple)
            if found and not _NO_RUN.search(simple):
                rest = _REDIRECTION.sub(" ", simple[found.end() :]).split()
                targets = [word for word in rest if not word.startswith("-") and not word.isdigit()]
                kind = found[1] if pattern.groups else None
                return Check(f"{name} {kind}" if kind else name, tuple(sorted(targets)))
    return None


def passed(ok: bool | None, output: str) -> bool | None:
    """How a check ended: by its exit code, else by what it printed.

    A pipe hides an exit code: ``pytest | tail`` succeeds always. So what was
    printed counts where it says that something failed.
    """
    if ok is False or _FAILED.search(output):
        return False
    if ok or _PASSED.search(output):
        return True
    return None


def complaint(output: str) -> str:
    """The line of an output that says what is wrong, the last one; empty if none does."""
    found = _COMPLAINT.findall(output)
    return plain(re.sub(r"^E\s+", "", found[-1])) if found else ""


def plain(command: str) -> str:
    """A command without the folder and the variables before it, on one line, cut.

    Examples
    --------
    >>> plain("cd app && CI=1 npm  install express")
    'npm install express'
    """
    text = re.sub(r"\s+", " ", command.strip())
    text = _VARIABLES.sub("", _CD.sub("", text))
    return text if len(text) <= MOST else text[: MOST - 3] + "..."


def reverted(command: str) -> bool:
    """Whether a command takes changes back."""
    return bool(_REVERT.search(command))
