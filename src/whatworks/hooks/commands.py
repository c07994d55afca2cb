"""Commands as agents type them: which of them check the work, and how a check ended."""

from __future__ import annotations

import re

__all__ = ["check", "complaint", "passed", "plain", "reverted"]

# What says whether the work is right, by the name under which its runs are compared.
_CHECKS = tuple(
    (name, re.compile(rf"(?:^|[\s;&|(/]){pattern}(?:$|[\s;&|)])"))
    for name, pattern in (
        ("pytest", r"(?:py\.?test|python[\d.]* -m (?:pytest|unittest)|tox|nox)"),
        ("cargo", r"cargo (?:\+\S+ )?(?:test|nextest|build|check|clippy)"),
        ("npm", r"(?:npm|pnpm|yarn|bun)(?: run)? (?:test|t|build|lint|typecheck|check)\S*"),
        ("jest", r"(?:npx )?(?:jest|vitest|mocha|playwright test)"),
        ("tsc", r"(?:npx )?(?:tsc|eslint|biome)"),
        ("go", r"go (?:test|build|vet)"),
        ("make", r"make(?: \S+)*"),
        ("gradle", r"(?:\./)?(?:gradlew?|mvnw?)"),
        ("ctest", r"(?:ctest|ninja|cmake --build)"),
        ("dotnet", r"dotnet (?:test|build)"),
        ("ruff", r"(?:ruff|mypy|pyright|flake8|pylint)"),
    )
)
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
    r"\bgit (?:revert|reset --hard|checkout (?:HEAD )?-- |checkout \.|"
    r"restore(?! --staged)|stash(?! pop))"
)
_CD = re.compile(r"^(?:cd \S+ *(?:&&|;) *)+")
_VARIABLES = re.compile(r"^(?:[A-Za-z_][A-Za-z0-9_]*=\S* +)+")
MOST = 120


def check(command: str) -> str | None:
    """The name of the check that a command runs, ``None`` if it is none.

    Examples
    --------
    >>> check("cd app && python -m pytest -x tests/"), check("ls -la")
    ('pytest', None)
    """
    for name, pattern in _CHECKS:
        if pattern.search(command):
            return name
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
    >>> plain("cd /work/app && CI=1 npm  install express")
    'npm install express'
    """
    text = re.sub(r"\s+", " ", command.strip())
    text = _VARIABLES.sub("", _CD.sub("", text))
    return text if len(text) <= MOST else text[: MOST - 3] + "..."


def reverted(command: str) -> bool:
    """Whether a command takes changes back."""
    return bool(_REVERT.search(command))
