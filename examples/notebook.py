"""A notebook on what a memory holds.

``pip install marimo 'whatworks[plot]'``, then ``marimo edit notebook.py``. It opens the store
of ``$WHATWORKS_STORE``, or one that it makes up. ``python notebook.py`` runs all cells.
"""

import marimo

app = marimo.App()


@app.cell
def _():
    import os
    import random
    import tempfile
    from datetime import UTC, datetime, timedelta

    import marimo as mo

    from whatworks import Memory, plots

    return Memory, UTC, datetime, mo, os, plots, random, tempfile, timedelta


@app.cell
def _(Memory, UTC, datetime, os, random, tempfile, timedelta):
    def made_up(folder):
        """Two ways to find a fault over sixty days; one of them got worse a month ago."""
        chance, now = random.Random(1), datetime.now(UTC)
        with Memory.open(folder, embedder="none") as memory:
            memory.add_pattern("read the traceback", pattern_id="traceback", pattern_type="debugging")
            memory.add_pattern("bisect the history", pattern_id="bisect", pattern_type="debugging")
            for day in range(60, 0, -1):
                for name, rate in (("traceback", 0.8 if day > 30 else 0.35), ("bisect", 0.6)):
                    for _ in range(3):
                        at = now - timedelta(days=day, minutes=chance.randrange(600))
                        outcome, tool = float(chance.random() < rate), chance.choice(["Bash", "Edit"])
                        memory.record(name, outcome=outcome, timestamp=at, tools=[tool])
        return folder

    store = os.environ.get("WHATWORKS_STORE") or made_up(tempfile.mkdtemp())
    memory = Memory.open(store, embedder="none")
    return (memory,)


@app.cell
def _(memory, mo):
    mo.stop(not memory.patterns(limit=1), mo.md("This store has no patterns yet."))
    tried = sorted(memory.patterns(limit=200), key=lambda pattern: -pattern.usage_count)[:20]
    chosen = mo.ui.dropdown({p.description: p.pattern_id for p in tried}, value=tried[0].description)
    chosen
    return chosen, tried


@app.cell
def _(chosen, memory):
    memory.trend(chosen.value).plot()
    return


@app.cell
def _(memory, plots, tried):
    plots.trends(*(memory.trend(pattern.pattern_id) for pattern in tried[:3]))
    return


@app.cell
def _(memory, plots):
    plots.rates(memory.rates("tool"))
    return


@app.cell
def _(memory):
    memory.sql("SELECT pattern_type, count(*) AS patterns FROM patterns GROUP BY ALL").rows
    return


@app.cell
def _(memory):
    memory.calibration().plot()
    return


if __name__ == "__main__":
    app.run()
