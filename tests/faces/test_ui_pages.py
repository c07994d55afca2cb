"""The inspector's pages through its whole application: what they show, and their twins in JSON."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from support.inspected import END, HOSTILE, Browser, fill
from whatworks import Memory
from whatworks.samples import HashEmbedder
from whatworks.ui.app import PAGES

Open = Callable[..., Memory]
HOSTILE_ID = "hostile/<b>&?#"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a filled store."""
    path = tmp_path_factory.mktemp("told") / "store"
    options = {"embedder": HashEmbedder(), "vectors": "exact"}
    with (
        Memory.open(path, source="honest", **options) as memory,  # type: ignore[arg-type]
        Memory.open(path, source="liar", **options) as other,  # type: ignore[arg-type]
    ):
        fill(memory)
        for n in range(30):
            other.record("riser", outcome=0.0, timestamp=END, event_id=f"lie-{n}")
        memory.flush()
    shutil.copytree(path, path.parent / "spare")
    return path


@pytest.fixture(scope="module")
def memory(folder: Path) -> Iterator[Memory]:
    """For the tests that only look; predictions are all they write."""
    with Memory.open(folder, embedder=HashEmbedder()) as memory:
        yield memory


@pytest.fixture(scope="module")
def browser(memory: Memory) -> Browser:
    return Browser(memory)


@pytest.fixture
def own(folder: Path, tmp_path: Path, open_memory: Open) -> Memory:
    """A copy, for the tests that write."""
    shutil.copytree(folder.parent / "spare", tmp_path / "copy")
    return open_memory(tmp_path / "copy")


def fields_of(name: str, memory: Memory) -> dict[str, str]:
    """What a page has to be asked with."""
    if name == "why":
        return {"id": memory.predict("the build fails in module 2").prediction_id}
    if name in ("pattern", "contexts", "forget", "would-forget"):
        return {"id": HOSTILE_ID}
    if name == "compare":
        return {"a": "riser", "b": HOSTILE_ID}
    if name in ("diff", "changes"):
        return {"context": HOSTILE}
    if name in ("rates", "related"):
        return {"by": "file", "path": HOSTILE}
    return {"q": "approach", "context": HOSTILE} if name in ("search", "predict") else {}


class Tags(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


NAMES = [page.name for page in PAGES] + ["health"]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_and_its_twin_answer_with_the_same_fields(
    browser: Browser, memory: Memory, name: str
) -> None:
    fields = fields_of(name, memory)
    text = browser.page("/" if name == "overview" else f"/{name}", **fields)
    assert text.startswith("<!doctype html>") and "</html>" in text
    assert browser.data(f"/{name}", **fields) is not None
    twin = re.search(r'href="(/[^"]*\.json[^"]*)"', text)
    assert twin and browser.get(unescape(twin[1])).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_no_text_of_the_store_becomes_markup_and_nothing_is_inline(
    browser: Browser, memory: Memory, name: str
) -> None:
    text = browser.page("/" if name == "overview" else f"/{name}", **fields_of(name, memory))
    for tag, attributes in Tags(text).seen:
        assert tag not in ("img", "i", "style")
        assert not {key for key in attributes if key.startswith("on") or key == "style"}
        if tag == "script":
            assert attributes.get("type") == "application/json" or "src" in attributes
        for key in ("src", "href", "action"):
            assert str(attributes.get(key, "/")).startswith(("/", "#")), attributes
        assert not str(attributes.get("href", "")).startswith("//")
    assert "alert(1)</script>" not in text and "49" not in re.findall(r"quoted[^<]{0,20}", text)


def test_every_link_of_the_overview_leads_to_a_page(browser: Browser) -> None:
    text = browser.page("/")
    links = {unescape(str(attributes["href"])) for tag, attributes in Tags(text).seen if tag == "a"}
    assert len(links) > 10
    for link in links - {"#main"}:
        assert browser.get(link).status_code == 200, link


def test_a_hostile_id_is_found_again_by_its_link(browser: Browser) -> None:
    text = browser.page("/search")
    (link,) = {unescape(found) for found in re.findall(r'href="(/pattern\?id=hostile[^"]*)"', text)}
    assert parse_qsl(urlsplit(link).query) == [("id", HOSTILE_ID)]
    assert browser.get(link).status_code == 200


def test_the_overview_tells_what_rises_falls_and_is_not_known(browser: Browser) -> None:
    data = browser.data("/overview")
    assert [item["pattern"]["pattern_id"] for item in data["overview"]["falling"]] == [
        "faller",
    ]
    assert [item["pattern_id"] for item in data["overview"]["untested"]] == ["untested"]
    assert data["coverage"]["tries"] == data["coverage"]["known"] == 87
    assert "approach faller" in browser.page("/")


def test_search_finds_by_words_and_without_a_text_shows_the_newest(browser: Browser) -> None:
    (first, *_) = browser.data("/search", q="approach faller")["hits"]
    assert first["found"]["pattern"]["pattern_id"] == "faller" and first["words"] == 1
    assert len(browser.data("/search")["hits"]) == 4
    assert len(browser.data("/search", limit=1)["hits"]) == 1


def test_no_rate_stands_without_its_count_and_interval(browser: Browser) -> None:
    rate = browser.data("/pattern", id="faller")["rate"]
    assert rate["count"] == 28 and rate["mean"] == pytest.approx(22 / 28)
    low, high = (f"{100 * rate[name]:.0f}\xa0%" for name in ("low", "high"))
    told = rf"<b>79\xa0%</b> <span[^>]*>{low} to {high}</span>\s*<span[^>]*>of 28</span>"
    assert re.search(told, browser.page("/pattern", id="faller"))


def test_the_chart_of_a_pattern_holds_its_trend_and_stands_above_a_table(browser: Browser) -> None:
    text = browser.page("/pattern", id="faller")
    found = re.search(r'<script type="application/json" id="trend-chart">(.*?)</script>', text)
    assert found
    option = json.loads(found[1])
    assert len(option["series"][0]["data"]) == 28
    assert option["series"][0]["data"][-1]["value"][0] == "2026-03-14"
    assert "Table of 28 days" in text


def test_tries_are_leafed_through_the_newest_first(browser: Browser) -> None:
    first, second = (browser.data("/pattern", id="faller", page=n) for n in (1, 2))
    assert first["events"][0]["event_id"] == "faller-0" and len(first["events"]) == 25
    assert first["more"] and not second["more"]
    assert [event["event_id"] for event in second["events"]] == ["faller-27", "faller-28", "faller-29"]


def test_a_prediction_is_made_by_a_form_and_explained(browser: Browser, memory: Memory) -> None:
    before = memory.stats().predictions
    answer = browser.post("/predict", context="the build fails in module 2", limit="2")
    assert answer.status_code == 303
    link = answer.headers["location"]
    text = browser.page(link)
    assert memory.stats().predictions == before + 1
    assert browser.data("/predict")["made"][0]["context"] == "the build fails in module 2"
    made = browser.data("/why", id=dict(parse_qsl(urlsplit(link).query))["id"])
    assert len(made["explanations"]) == 2
    for told in made["explanations"]:
        assert sum(part["value"] for part in told["contributions"]) == pytest.approx(told["expected"])
    assert "what adds up to it" in text


def test_a_person_who_never_saw_it_finds_what_fell_why_and_who_disagrees(browser: Browser) -> None:
    """The scripted check: each answer stands on the page that a link of the overview leads to."""
    (fell,) = re.findall(r'id="falling".*?href="(/pattern[^"]*)"', browser.page("/"), re.DOTALL)
    page = " ".join(browser.page(unescape(fell)).split())
    assert re.search(r"<b>Falling</b>: -\d+ points over the 7 days up to \d{4}-\d\d-\d\d", page)
    assert "changed for good on 2026-03-09" in page
    assert "With it changed: tool linter" in page
    # Of two sources each is outside what the other says.
    flagged = re.findall(r'class="flag"><td>(\w+)', browser.page("/sources"))
    assert set(flagged) == {"liar", "honest"}
    month_ago = browser.data("/changes", context="the build fails in module 2")
    (change,) = (item for item in month_ago["changes"] if item["pattern"]["pattern_id"] == "faller")
    assert change["before"] > change["after"]
    assert any(cause["events"] for cause in change["causes"])


def test_what_changed_is_told_with_its_causes(browser: Browser) -> None:
    text = browser.page("/diff", context="the build fails in module 2")
    (link,) = re.findall(r'hx-get="(/changes[^"]*)"', text)
    data = browser.get(unescape(link).replace("/changes?", "/changes.json?")).json()
    assert data["changes"] and all(change["causes"] for change in data["changes"])
    assert data["earlier"].startswith("2026-02-12") and data["later"].startswith("2026-03-14")


def test_two_patterns_are_compared_with_an_interval_and_one_gets_neighbours(browser: Browser) -> None:
    data = browser.data("/compare", a="riser", b="faller")
    assert data["whole"]["change"] < 0 and data["whole"]["low"] < data["whole"]["high"]
    assert data["recent"]["probability"] is not None
    alone = browser.data("/compare", a="riser")
    assert alone["b"] is None and "riser" not in [
        item["pattern"]["pattern_id"] for item in alone["neighbours"]
    ]
    assert browser.data("/compare", a="riser", b="untested")["whole"]["change"] is None


def test_tries_are_grouped_and_files_lead_to_what_changes_with_them(browser: Browser) -> None:
    tools = {row["value"]: row for row in browser.data("/rates", by="tool")["rows"]}
    assert (tools["linter 1"]["resolved"], tools["linter 2"]["resolved"]) == (44, 12)
    assert browser.data("/rates")["by"] == "week"
    assert "/related?path=src%2Fmain.py" in browser.page("/rates", by="file")
    (first, *_) = browser.data("/related", path="src/main.py")["rows"]
    assert first["file"].startswith("src/part_") and first["changes"] == 56


def test_patterns_are_clustered_by_meaning(browser: Browser) -> None:
    assert sum(item["patterns"] for item in browser.data("/clusters")) == 4


def test_the_source_that_disagrees_is_named(browser: Browser) -> None:
    rows = {row["source"]["source"]: row for row in browser.data("/sources")["rows"]}
    assert rows["liar"]["disagrees"] and "disagrees" in browser.page("/sources")


def test_a_source_is_distrusted_and_approved_by_a_button(own: Memory) -> None:
    memory, browser = own, Browser(own)
    assert "every try counts" in browser.page("/sources")
    before = memory.get_pattern("riser").success_rate
    answer = browser.post("/distrust", source="liar")
    assert answer.status_code == 303
    page = browser.page(answer.headers["location"])
    assert "the source is distrusted" in page and "Approve liar" in page
    (held,) = browser.data("/sources")["held"]
    assert (held["source"], held["pattern_id"], held["tries"]) == ("liar", "riser", 30)
    assert memory.get_pattern("riser").description[:40] in page.split('id="held"')[1]
    assert (memory.get_pattern("riser").success_rate or 0) > (before or 0)
    browser.post("/approve", source="liar")
    assert browser.data("/sources")["held"] == []
    assert "Take back liar" in browser.page("/sources")
    browser.post("/unjudge", source="liar")
    assert memory.judgements() == [] and "Take back" not in browser.page("/sources")
    assert browser.post("/distrust", source="nobody").status_code == 404
    assert browser.post("/distrust").status_code == 400


def test_what_a_check_found_and_what_was_imported_is_shown_where_tries_are(
    own: Memory, tmp_path: Path
) -> None:
    browser = Browser(own)
    assert "No try was imported" in browser.page("/sources")
    label = f"import:tests.xml@{'0' * 16}"
    tries = [{"pattern_id": "riser", "outcome": 1.0, "event_id": "found"}]
    own.record_imported(tries, imported_from=label, checked=True)
    own.record("riser", outcome=1.0, event_id="told")
    rows = browser.page("/pattern", id="riser").split('id="tries"')[1].split("<tr>")
    found, said = (
        next(row for row in rows if f"<code>{name}</code>" in row) for name in ("found", "told")
    )
    assert "found by a check" in found and label in found
    assert "found by a check" not in said and "import:" not in said
    page = browser.page("/sources")
    assert label in page.split('id="imports"')[1] and "1 found by a check" in page
    (item,) = browser.data("/sources")["imports"]
    assert (item["label"], item["events"], item["checked"]) == (label, 1, 1)
    browser.post("/distrust", source=label)
    assert browser.data("/sources")["imports"][0]["held"] == 1


def test_health_tells_sizes_times_and_on_demand_the_findings(browser: Browser) -> None:
    browser.page("/search")
    data = browser.data("/health")
    assert data["stats"]["events"] == 87
    (row,) = (row for row in data["times"] if row["path"] == "/search")
    assert row["requests"] >= 1 and 0 < row["median_ms"] <= row["longest_ms"]
    assert {item["layer"] for item in browser.data("/findings")} >= {"journal", "folder"}


def test_the_page_of_an_archived_pattern_says_so_and_lists_leave_it_out(own: Memory) -> None:
    browser = Browser(own)

    def listed() -> set[str]:
        return {hit["found"]["pattern"]["pattern_id"] for hit in browser.data("/search")["hits"]}

    assert HOSTILE_ID in listed()
    own.archive(HOSTILE_ID, reason="<b>old</b>")
    page = browser.page("/pattern", id=HOSTILE_ID)
    assert "Archived" in page and "&lt;b&gt;old&lt;/b&gt;" in page
    assert HOSTILE_ID not in listed()


def test_a_pattern_is_edited_and_keeps_its_record(own: Memory) -> None:
    memory, browser = own, Browser(own)
    before = memory.get_pattern(HOSTILE_ID)
    answer = browser.post("/edit", id=HOSTILE_ID, description="retry once", type="retries")
    assert answer.status_code == 303 and "changed" in browser.page(answer.headers["location"])
    after = memory.get_pattern(HOSTILE_ID)
    assert (after.description, after.pattern_type) == ("retry once", "retries")
    assert (after.metadata, after.resolved_count) == (before.metadata, before.resolved_count)


def test_a_pattern_is_forgotten_once_its_id_was_typed(own: Memory) -> None:
    memory, browser = own, Browser(own)
    would = browser.data("/would-forget", id="faller")["would_go"]
    assert (would["patterns"], would["events"], would["dry_run"]) == (1, 28, True)
    wrong = browser.post("/forget", id="faller", confirm="riser")
    assert wrong.status_code == 400 and "nothing was forgotten" in wrong.text
    assert memory.get_pattern("faller").usage_count == 28
    answer = browser.post("/forget", id="faller", confirm="faller")
    assert answer.status_code == 303 and "forgotten" in browser.page(answer.headers["location"])
    assert browser.get("/pattern", id="faller").status_code == 404
    assert not memory.get_patterns(["faller"])


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/nosuch", 404, "no such page"),
        ("/pattern?id=nobody", 404, "no pattern 'nobody'"),
        ("/why?id=nobody", 404, "nobody"),
        ("/pattern", 400, "id is missing"),
        ("/?days=0", 400, "days is 0; expected 1 to 365"),
        ("/?days=many", 400, "expected a whole number"),
        ("/search?limit=100000", 400, "expected 1 to 200"),
        ("/pattern?id=riser&page=41", 400, "expected 1 to 40"),
        ("/pattern?id=%00", 400, "id"),
        ("/search?q=%ff", 400, "UTF-8"),
        ("/changes?context=x&from=yesterday", 400, "expected a day or a time"),
        ("/changes?context=x&from=2026-03-02&to=2026-03-01", 400, "earlier time first"),
        ("/changes", 400, "context"),
        ("/rates?by=mood", 400, "by is 'mood'"),
        ("/related?path=x&together=month", 400, "together is 'month'"),
        ("/search?" + "a=1&" * 40, 400, "at most 32"),
        ("/static/../../app.py", 404, "no such page"),
    ],
)
def test_bad_input_is_told_in_one_line(browser: Browser, path: str, status: int, told: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    line = re.search(r'<p class="problem" role="alert">(.*?)</p>', answer.text, re.DOTALL)
    assert line and told in unescape(line[1]) and "\n" not in line[1]
    name, _, query = path.partition("?")
    twin = browser.get(f"{'/overview' if name == '/' else name}.json?{query}")
    assert twin.status_code == status
    if not name.startswith("/static"):
        assert told in twin.json()["error"]


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/edit", {"id": "riser", "description": "", "type": "x"}, 400),
        ("/edit", {"id": "nobody", "description": "x", "type": "x"}, 404),
        ("/forget", {"id": "nobody", "confirm": "nobody"}, 404),
        ("/predict", {"context": "  "}, 400),
        ("/predict", {"context": "x", "limit": "-1"}, 400),
        ("/search", {}, 405),
    ],
)
def test_a_bad_form_changes_nothing(
    browser: Browser, memory: Memory, path: str, fields: dict[str, str], status: int
) -> None:
    before = memory.patterns()
    answer = browser.post(path, **fields)
    assert answer.status_code == status and "problem" in answer.text
    assert memory.patterns() == before


def test_an_empty_store_has_every_page(open_memory: Open, tmp_path: Path) -> None:
    browser = Browser(open_memory(tmp_path / "empty"))
    for name in ("", "calibration", "search", "predict", "diff", "compare", "sources", "health"):
        assert browser.page(f"/{name}")


def test_a_failure_is_told_without_its_details(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(memory)

    def failing(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(memory, "sources", failing)
    browser.client._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
    answer = browser.get("/sources")
    assert answer.status_code == 500 and "RuntimeError" in answer.text
    assert "secret detail" not in answer.text
