"""How ``diff`` is answered: two predictions as of their times, and the way from one to the other.

The evidence of the earlier time is brought to that of the later one in steps,
and the estimates are made anew after each: a step's share is what it moved.
First come the cells nearby that changed, one by one in the order of time,
then all else. Shares add up by construction; another order would give others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whatworks import rank
from whatworks.answers import Answers
from whatworks.evidence import cells as cell_rows
from whatworks.evidence import moves, questions
from whatworks.evidence.cells import RecordRow
from whatworks.evidence.moves import Move
from whatworks.gathering import Gathered
from whatworks.keeper import Keeper
from whatworks.neighbourhood import records_of
from whatworks.predictions import Predictions
from whatworks.records import Cause, Change, Diff, Pattern

__all__ = ["Differences"]

Float64 = NDArray[np.float64]
Kind = Literal["nearby", "elsewhere", "prior", "change", "learned", "population", "rest"]

# Changed cells nearby whose shares are worked out one by one: an estimate each, 0.5 to 6 ms.
STEPS = 32
# Tries nearby that are shown as causes of a change; smaller shares are part of the rest.
SHOWN = 8
LEAST = 1e-6
# Estimates nearer than this have not changed.
SAME = 1e-9


@dataclass(frozen=True, slots=True)
class _State:
    """What estimates are made from: records ``(n, 5)``, worths and means of cells ``(k, 2)``."""

    records: Float64
    cells: Float64
    whole: rank.Population
    learned: rank.Learned


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of the way, and what it did to the estimate of each pattern."""

    kind: Kind
    share: Float64
    move: Move | None = None


class _World:
    """The patterns and cells of both times in common arrays, so that states can be compared.

    What a pattern was before it changed is a row of its own, behind all patterns.
    """

    def __init__(self, sides: Sequence[Gathered], rows: Sequence[Sequence[RecordRow]]) -> None:
        found = {row.pattern_no: row.pattern_id for some in rows for row in some}
        self.numbers = sorted(found)
        self.ids = [found[number] for number in self.numbers]
        self.place = {number: n for n, number in enumerate(self.numbers)}
        self.points = [side.points for side in sides]
        changed = sorted({number for side in sides for number in side.points})
        self.early = {number: len(self.numbers) + n for n, number in enumerate(changed)}
        self.similarity = sides[0].similarity | sides[1].similarity
        keys = {cell[:3] for side in sides for cell in side.near}
        self.keys = sorted(keys, key=lambda key: (-self.similarity[key[0]], key))
        self.cell = {key: n for n, key in enumerate(self.keys)}
        vectors = {
            name: row
            for side in sides
            for name, row in zip((c.context_id for c in side.near), side.vectors, strict=True)
        }
        # The context asked about is the last.
        self.vectors = np.array([*(vectors[name] for name, *_ in self.keys), sides[0].query], float)
        self.start, self.end = (self._state(*pair) for pair in zip(sides, rows, strict=True))

    def _state(self, side: Gathered, rows: Sequence[RecordRow]) -> _State:
        records = np.zeros((len(self.numbers) + len(self.early), 5))
        cells = np.zeros((len(self.keys), 2))
        own = records_of(rows, side.points)
        places = [self.place[row.pattern_no] for row in rows]
        places += [self.early[row.pattern_no] for row in rows if row.pattern_no in side.points]
        records[places] = np.column_stack(
            [own.tries, own.total, own.prior_tries, own.prior_total, own.changed]
        )
        for cell in side.near:
            cells[self.cell[cell[:3]]] = cell.worth, cell.mean_outcome
        return _State(records, cells, side.whole, side.learned)

    def expected(self, state: _State) -> Float64:
        """The estimates of all patterns in a state."""
        chosen = np.flatnonzero(state.cells[:, 0] > 0)
        keys = [self.keys[n] for n in chosen]
        seen = rank.centred(self.vectors[[*chosen, -1]], state.learned.center)
        cells = rank.Cells(
            np.array([self._row(number, early) for _, number, early in keys], np.int64),
            seen[:-1] @ seen[-1],
            seen[:-1] @ seen[:-1].T,
            *state.cells[chosen].T,
        )
        made = rank.expect(rank.Records(*state.records.T), cells, state.whole, state.learned)
        return made[: len(self.numbers)]

    def _row(self, number: int, early: bool) -> int:
        return self.early[number] if early else self.place[number]

    def _since(self, side: int, number: int) -> datetime | None:
        point = self.points[side].get(number)
        return None if point is None else point.since

    def moved(self, state: _State, move: Move) -> _State:
        """The state after a cell moved: the cell itself, and the record of its pattern."""
        records, cells = state.records.copy(), state.cells.copy()
        own = records[self.place[move.pattern_no]]
        own[0] = max(own[0] + move.worth_after - move.worth_before, 0.0)
        own[1] = min(max(own[1] + move.weighed_after - move.weighed_before, 0.0), own[0])
        mean = move.weighed_after / move.worth_after if move.worth_after else 0.0
        cells[self.cell[move.context_id or "", move.pattern_no, False]] = move.worth_after, mean
        return replace(state, records=records, cells=cells)

    def split(self, state: _State) -> _State:
        """The state after the change points that the later time knows were found."""
        numbers = [n for n in self.early if self._since(0, n) != self._since(1, n)]
        records, cells = state.records.copy(), state.cells.copy()
        rows = [self._row(number, early) for number in numbers for early in (False, True)]
        records[rows] = self.end.records[rows]
        mine = [n for n, key in enumerate(self.keys) if key[1] in numbers]
        cells[mine] = self.end.cells[mine]
        return replace(state, records=records, cells=cells)

    def way(self, moved: Sequence[Move]) -> list[_Step]:
        """From the earlier state to the later one: cells nearby one by one, then all else."""
        steps: list[_Step] = []
        state, value = self.start, self.expected(self.start)

        def go(kind: Kind, to: _State, move: Move | None = None) -> None:
            nonlocal state, value
            state, before = to, value
            value = self.expected(state)
            steps.append(_Step(kind, value - before, move))

        for move in moved:
            go("nearby", self.moved(state, move), move)
        prior = state.records.copy()
        prior[:, 2:4] = self.end.records[:, 2:4]
        go("prior", replace(state, records=prior))
        go("change", self.split(state))
        go("elsewhere", replace(state, records=self.end.records))
        go("learned", replace(state, learned=self.end.learned))
        go("population", replace(state, whole=self.end.whole))
        go("rest", self.end)
        return steps


class Differences:
    """What changed in the advice between two times, from the layers of a keeper."""

    def __init__(self, keeper: Keeper, answers: Answers, predictions: Predictions) -> None:
        self._keeper = keeper
        self._answers = answers
        self._predictions = predictions

    def diff(self, context: str, earlier: datetime, later: datetime, limit: int, now: datetime) -> Diff:
        """How the advice for ``context`` changed, and through which events."""
        ask, times = self._predictions, (earlier, later)
        gather = ask.gathering.gather
        sides = [gather(context, limit=limit, candidates=None, as_of=at, now=now) for at in times]
        told = [ask.receipt(context, side, limit=limit, candidates=None, now=now) for side in sides]
        ids = list(dict.fromkeys(a["pattern_id"] for r in reversed(told) for a in r["answers"]))
        rows = [self._rows(side, ids) for side in sides]
        world = _World(sides, rows)
        moved = moves.moves(
            self._keeper.evidence(),
            *times,
            numbers=[n for n, name in zip(world.numbers, world.ids, strict=True) if name in ids],
            contexts=sorted({name for name, *_ in world.keys}),
        )
        # Of a pattern that changed, a cell holds tries of both regimes: it is told as a whole.
        near = [m for m in moved if _key(m) in world.cell and m.pattern_no not in world.early]
        near = sorted(near, key=lambda m: world.cell[_key(m)])[:STEPS]
        near = sorted(near, key=lambda m: (m.moved_at, world.cell[_key(m)]))
        far = [move for move in moved if move not in near]
        teller = _Teller(world, world.way(near), far, self._texts(near))
        patterns = self._answers.patterns(ids)
        changes = [_change(patterns[name], teller, told, rows) for name in ids if name in patterns]
        kept = tuple(change for change in changes if _is_change(change))
        return Diff(
            context, earlier, later, told[0]["mu"], told[1]["mu"], kept, len(changes) - len(kept)
        )

    def _rows(self, side: Gathered, ids: Sequence[str]) -> list[RecordRow]:
        """The records of a time, those of the other time's answers among them."""
        there = {row.pattern_id for row in side.rows}
        missing = [name for name in ids if name not in there]
        more = cell_rows.records(self._keeper.evidence(), numbers=[], ids=missing, as_of=side.as_of)
        return [*side.rows, *more]

    def _texts(self, near: Sequence[Move]) -> dict[str, str]:
        names = sorted({move.context_id for move in near if move.context_id})
        return questions.context_texts(self._keeper.evidence(), names)


class _Teller:
    """Tells the steps of the way as causes, for one pattern at a time."""

    def __init__(
        self, world: _World, steps: Sequence[_Step], far: Sequence[Move], texts: Mapping[str, str]
    ) -> None:
        self.world = world
        self.start, self.end = world.expected(world.start), world.expected(world.end)
        self._steps = steps
        self._far = far
        self._texts = texts

    def causes(self, n: int) -> tuple[Cause, ...]:
        """What moved pattern ``n``, the strongest first, the rest last; they add up."""
        told = [cause for step in self._steps if (cause := self._cause(step, n))]
        near = [cause for cause in told if cause.kind == "nearby"]
        small = sorted(near, key=lambda cause: -abs(cause.share))[SHOWN:]
        told = [cause for cause in told if cause not in small and abs(cause.share) > LEAST]
        told.sort(key=lambda cause: -abs(cause.share))
        rest = sum(float(step.share[n]) for step in self._steps) - sum(c.share for c in told)
        return (*told, Cause("rest", rest)) if abs(rest) > SAME else tuple(told)

    def _cause(self, step: _Step, n: int) -> Cause | None:
        share, world = float(step.share[n]), self.world
        if step.move is not None:
            return self._nearby(step.move, share)
        if step.kind == "elsewhere":
            own = [move for move in self._far if move.pattern_no == world.numbers[n]]
            return _elsewhere(own, share, world.ids[n]) if own else None
        if step.kind == "prior":
            same = (world.start.records[n, 2:4] == world.end.records[n, 2:4]).all()
            return None if same else Cause("prior", share, world.ids[n])
        return None if step.kind == "rest" else Cause(step.kind, share)

    def _nearby(self, move: Move, share: float) -> Cause:
        name = move.context_id or ""
        return Cause(
            "nearby",
            share,
            self.world.ids[self.world.place[move.pattern_no]],
            name,
            self._texts.get(name),
            self.world.similarity[name],
            move.events,
            move.event_count,
            move.tries_before,
            move.tries_after,
            move.mean_before,
            move.mean_after,
        )


def _key(move: Move) -> tuple[str, int, bool]:
    """The cell that a move changes, as the world names it."""
    return move.context_id or "", move.pattern_no, False


def _elsewhere(own: Sequence[Move], share: float, pattern_id: str) -> Cause:
    """Several cells of a pattern as one cause."""
    before, after = sum(m.tries_before for m in own), sum(m.tries_after for m in own)
    return Cause(
        "elsewhere",
        share,
        pattern_id,
        events=tuple(name for move in own for name in move.events)[: moves.EVENTS],
        event_count=sum(move.event_count for move in own),
        tries_before=before,
        tries_after=after,
        mean_before=sum(m.total_before for m in own) / before if before else None,
        mean_after=sum(m.total_after for m in own) / after if after else None,
    )


def _change(
    pattern: Pattern,
    teller: _Teller,
    told: Sequence[Mapping[str, Any]],
    rows: Sequence[Sequence[RecordRow]],
) -> Change:
    """What became of one pattern."""
    world, name = teller.world, pattern.pattern_id
    n = world.ids.index(name)
    start, end = float(teller.start[n]), float(teller.end[n])
    was, is_ = (any(row.pattern_id == name for row in some) for some in rows)
    ranks, verdicts = zip(*(_placed(receipt["answers"], name) for receipt in told), strict=True)
    return Change(
        pattern=pattern,
        before=start if was else None,
        after=end if is_ else None,
        change=end - start,
        rank_before=ranks[0],
        rank_after=ranks[1],
        verdict_before=verdicts[0],
        verdict_after=verdicts[1],
        causes=teller.causes(n),
    )


def _placed(answers: Sequence[Mapping[str, Any]], name: str) -> tuple[int | None, Any]:
    """The place of a pattern among the answers, and its verdict."""
    for place, answer in enumerate(answers, 1):
        if answer["pattern_id"] == name:
            return place, answer["verdict"]
    return None, None


def _is_change(change: Change) -> bool:
    moved = abs(change.change) > SAME or (change.before is None) != (change.after is None)
    ranked = change.rank_before != change.rank_after
    return moved or ranked or change.verdict_before != change.verdict_after
