"""The screens: patterns in a list, a search above, details beside; a question before forgetting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import orjson
from rich.text import Text
from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Grid, Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, DataTable, Footer, Input, Label, Static
from textual.worker import get_current_worker

from whatworks.cli.show import SPARKS, count, interval, number, one_line, when
from whatworks.errors import WhatWorksError
from whatworks.exporters.files import replacing
from whatworks.memory import Memory
from whatworks.records import Forgotten, Pattern, Trend, UsageEvent

__all__ = ["Top"]

# As many as anyone would scroll through; the search finds the others.
LISTED = 500
FOUND = 50
EVENTS = 20
# Of the list's width, besides the descriptions: three columns, the spaces between them, a scroll bar.
OTHER_COLUMNS, LEAST_ROOM = 34, 16
SPARK_DAYS = 30
# Keys in a row are one question.
PAUSE_SECONDS = 0.2
ARROWS = {"rising": "↑", "falling": "↓", "steady": "→", "too little data": ""}


class Confirm(ModalScreen[bool]):
    """Asks before what cannot be taken back; Escape and the first button mean no."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(False)", "Keep")]
    CSS = """
    Confirm { align: center middle; }
    #question { grid-size: 2; grid-rows: auto 3; grid-gutter: 1 2; padding: 1 2; width: 64;
                height: auto; border: thick $error; background: $surface; }
    #question Label { column-span: 2; width: 1fr; }
    #question Button { width: 1fr; }
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question and its two answers."""
        with Grid(id="question"):
            yield Label(self._question, markup=False)
            yield Button("Keep", id="no")
            yield Button("Forget for good", id="yes", variant="error")

    @on(Button.Pressed)
    def answered(self, event: Button.Pressed) -> None:
        """Close, with what was chosen."""
        self.dismiss(event.button.id == "yes")


class Top(App[None]):
    """The patterns of a memory, newest first or by a search; see ``whatworks top``.

    Parameters
    ----------
    memory
        Open, and left open.
    folder
        Where what is exported goes.
    """

    TITLE = "whatworks"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("slash", "search", "Search"),
        ("r", "refresh", "Refresh"),
        ("e", "export", "Export"),
        ("d", "forget", "Forget"),
        ("escape", "list", "List"),
        ("q", "quit", "Quit"),
    ]
    CSS = """
    Input { border: tall $panel; }
    #panes { height: 1fr; }
    DataTable { width: 3fr; height: 1fr; }
    #details { width: 2fr; height: 1fr; border-left: solid $panel; padding: 0 1; }
    #pattern { height: auto; }
    """

    def __init__(self, memory: Memory, *, folder: Path) -> None:
        super().__init__()
        self._memory = memory
        self._folder = folder
        self._patterns: dict[str, Pattern] = {}

    def compose(self) -> ComposeResult:
        """The search, the list beside the details, and the keys."""
        yield Input(placeholder="search by meaning and by words", id="search")
        with Horizontal(id="panes"):
            yield DataTable(id="patterns", cursor_type="row", zebra_stripes=True)
            with VerticalScroll(id="details"):
                yield Static(id="pattern", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """List what there is."""
        table = self._table
        table.add_column("pattern", key="pattern", width=self._room)
        # Widths of their own: those that the table works out may be of the time before the rows came.
        for name, width in (("tries", 7), ("success", 7), ("last", 10)):
            table.add_column(name, key=name, width=width)
        table.focus()
        self.look("")

    @property
    def _room(self) -> int:
        """Columns for the descriptions: what the others leave of the list."""
        return max(LEAST_ROOM, self.size.width * 3 // 5 - OTHER_COLUMNS)

    def on_resize(self) -> None:
        """Give the descriptions what room there is."""
        for column in self._table.ordered_columns[:1]:
            column.width = self._room
            self._table.refresh()

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one(DataTable)

    # -- the list ---------------------------------------------------------------------------------

    @on(Input.Changed, "#search")
    def typed(self, event: Input.Changed) -> None:
        """Search once the keys pause."""
        self.set_timer(PAUSE_SECONDS, lambda: self._still(event.value))

    def _still(self, text: str) -> None:
        if self.query_one(Input).value == text:
            self.look(text)

    @on(Input.Submitted, "#search")
    def entered(self) -> None:
        """Go from the search to what it found."""
        self.action_list()

    @work(thread=True, exclusive=True, group="list")
    def look(self, text: str) -> None:
        """Find patterns, or list the newest, and show them."""
        try:
            if text.strip():
                found = [match.pattern for match in self._memory.find_similar(text, limit=FOUND)]
            else:
                found = self._memory.patterns(limit=LISTED)
        except WhatWorksError as error:
            self.call_from_thread(self.notify, str(error), severity="error", markup=False)
            return
        if not get_current_worker().is_cancelled:  # else something newer was asked meanwhile
            self.call_from_thread(self._list, found)

    def _list(self, found: Sequence[Pattern]) -> None:
        self._patterns = {pattern.pattern_id: pattern for pattern in found}
        table = self._table
        table.clear()
        for pattern in found:
            table.add_row(*_row(pattern), key=pattern.pattern_id)
        self.sub_title = f"{count(len(found))} patterns"
        if not found:
            self._show("nothing was found")

    # -- one pattern ------------------------------------------------------------------------------

    @property
    def _chosen(self) -> Pattern | None:
        table = self._table
        if not table.row_count:
            return None
        return self._patterns.get(
            table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or ""
        )

    @on(DataTable.RowHighlighted)
    def highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the pattern under the cursor."""
        if pattern := self._patterns.get(event.row_key.value or ""):
            self.detail(pattern)

    @work(thread=True, exclusive=True, group="details")
    def detail(self, pattern: Pattern) -> None:
        """Ask for trend and tries of a pattern, and show them."""
        try:
            trend = self._memory.trend(pattern.pattern_id)
            events = self._memory.events(pattern.pattern_id, limit=EVENTS)
        except WhatWorksError as error:
            self.call_from_thread(self._show, str(error))
            return
        if not get_current_worker().is_cancelled:
            self.call_from_thread(self._show, _details(pattern, trend, events))

    def _show(self, text: str) -> None:
        self.query_one("#pattern", Static).update(text)

    # -- keys -------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Into the search."""
        self.query_one(Input).focus()

    def action_list(self) -> None:
        """Into the list."""
        self._table.focus()

    def action_refresh(self) -> None:
        """Ask again."""
        self.look(self.query_one(Input).value)

    def action_export(self) -> None:
        """Write the patterns in the list as JSON lines."""
        path = self._folder / "whatworks-patterns.jsonl"
        lines = [orjson.dumps(pattern) + b"\n" for pattern in self._patterns.values()]
        try:
            with replacing(path) as draft:
                draft.write_bytes(b"".join(lines))
        except (OSError, WhatWorksError) as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.notify(f"{count(len(lines))} patterns are in {path}", markup=False)

    @work
    async def action_forget(self) -> None:
        """Forget the chosen pattern, once that is confirmed."""
        if (pattern := self._chosen) is None:
            return
        counted = await self._forgotten(pattern, dry_run=True)
        if counted is None:
            return
        question = (
            f"{one_line(pattern.description)}\n\nForget it with its {count(counted.events)} tries and "
            f"{count(counted.predictions)} predictions? It cannot be taken back."
        )
        if await self.push_screen_wait(Confirm(question)):
            if await self._forgotten(pattern, dry_run=False) is not None:
                self.notify("forgotten")
            self.action_refresh()

    async def _forgotten(self, pattern: Pattern, *, dry_run: bool) -> Forgotten | None:
        chosen = [pattern.pattern_id]
        try:
            return await asyncio.to_thread(self._memory.forget, patterns=chosen, dry_run=dry_run)
        except WhatWorksError as error:
            self.notify(str(error), severity="error", markup=False)
            return None


def _row(pattern: Pattern) -> tuple[Text, Text, Text, Text]:
    plain = one_line(pattern.description)
    return (
        Text(plain, no_wrap=True, overflow="ellipsis"),
        Text(count(pattern.usage_count), justify="right"),
        Text(number(pattern.success_rate), justify="right"),
        Text("-" if pattern.last_used_at is None else f"{pattern.last_used_at:%Y-%m-%d}"),
    )


def _details(pattern: Pattern, trend: Trend, events: Sequence[UsageEvent]) -> str:
    latest = next((day for day in trend.days if day.moving_avg is not None), None)
    lines = [
        one_line(pattern.description),
        "",
        f"id        {pattern.pattern_id}",
        f"type      {pattern.pattern_type}",
        f"tries     {count(pattern.usage_count)}, {count(pattern.resolved_count)} with an outcome",
    ]
    if latest is not None:
        lines.append(f"lately    {interval(latest.moving_avg, latest.moving_low, latest.moving_high)}")
    if ARROWS[trend.direction]:
        ends = f"({trend.change_low:+.2f} to {trend.change_high:+.2f})"
        lines.append(
            f"trend     {ARROWS[trend.direction]} {trend.direction}, {trend.change:+.2f} {ends}"
        )
    if trend.change_point is not None:
        point = trend.change_point
        lines.append(f"changed   {point.since:%Y-%m-%d}: {point.before:.2f} to {point.after:.2f}")
    rates = [day.moving_avg for day in reversed(trend.days[:SPARK_DAYS])]
    if any(rate is not None for rate in rates):
        lines += ["", "".join(" " if rate is None else SPARKS[round(rate * 7)] for rate in rates)]
        lines.append(
            f"moving average of {trend.window_days} days, the last {len(rates)} days with tries"
        )
    lines += ["", "newest tries"]
    lines += [
        f"{when(event.timestamp)}  {number(event.outcome)}  {one_line(event.context or event.state)}"
        for event in events
    ] or ["none"]
    return "\n".join(lines)
