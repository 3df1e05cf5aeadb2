"""Rules: statistics, history, differences, rollback, and the editor."""

import msgspec
import pytest

from .conftest import NAUGHTY, Browser, NewBrowser
from .scenario import Scenario

pytestmark = pytest.mark.slow

RULE = """\
id: received
type: purchase_order
when: {field: status, op: eq, value: received}
actions: [{id: note, do: log, message: "{id} is here"}]
"""


async def etag_of(browser: Browser, rule_id: str) -> str:
    return (await browser.get(f"/editor/{rule_id}")).page.fields["etag"]


async def test_rules_are_listed_with_their_results(browser: Browser, filled: Scenario) -> None:
    page = (await browser.get("/rules")).page
    assert "short-receipt Received less than ordered purchase order file http 2 0 0 0" in page.text
    assert "newest 2 decided events" in page.text
    assert f"/events/{filled.dead}?tab=rules" in page.links
    rule = (await browser.get("/rules/short-receipt")).page
    assert "field: quantity_received" in rule.text
    assert ("post", "/rules/short-receipt/delete") not in rule.forms  # it comes from a file
    assert (await browser.get("/rules/nothing")).status == 404


async def test_a_mistake_is_named_and_the_text_is_kept(browser: Browser) -> None:
    for text, expected in (
        (RULE.replace("status", "statsu"), "/when/field no field 'statsu' did you mean status?"),
        ("{", "/ "),
        ("- 1\n- 2", "/ 2 rules"),
        ("7", "/ is not a rule"),
        (RULE + "x: 1", "unknown key"),
        ("x" * 100_001, "100001 characters"),
        ("", "is not a rule"),
    ):
        for path in ("/editor/trial", "/editor"):
            answer = await browser.post(path, text=text, note=NAUGHTY)
            assert answer.status == (200 if path == "/editor/trial" else 422)
            assert expected in answer.page.text, text
            assert answer.page.fields["note"] == NAUGHTY
    answer = await browser.post("/editor", text=RULE, note="x" * 501)
    assert (answer.status, "note-error" in answer.page.ids) == (422, True)
    assert (await browser.get("/rules/received")).status == 404


async def test_a_rule_is_tried_before_it_is_published(browser: Browser, filled: Scenario) -> None:
    for target in ("pack:purchase_order:po-4711", filled.dead):
        text = (await browser.post("/editor/trial", text=RULE, target=target, evaluate="1")).page.text
        assert "matched received" in text
        assert "+ status = received (was received)" in text
    for target in ("", "nothing", "other:purchase_order:1", "pack:nothing:1"):
        answer = await browser.post("/editor/trial", text=RULE, target=target, evaluate="1")
        assert "target-error" in answer.page.ids, target
    text = (await browser.post("/editor/trial", text=RULE, compare="1", last="20")).page.text
    assert "3 events evaluated, 3 differences" in text
    for last in ("0", "201", "many", ""):
        answer = await browser.post("/editor/trial", text=RULE, compare="1", last=last)
        assert "last-error" in answer.page.ids


@pytest.mark.usefixtures("filled")
async def test_a_rule_is_created_changed_and_deleted(browser: Browser, capfd: pytest.CaptureFixture[str]) -> None:
    answer = await browser.post("/editor", text=RULE, note="first")
    assert (answer.status, answer.headers["location"]) == (303, "/rules/received")
    assert (await browser.post("/editor", text=RULE)).status == 409
    etag = await etag_of(browser, "received")
    changed = {"text": RULE.replace("is here", "arrived"), "rule_id": "received", "etag": etag}
    assert (await browser.post("/editor", **changed)).status == 303
    conflict = await browser.post("/editor", **changed)
    assert (conflict.status, "changed in the meantime" in conflict.page.text) == (412, True)
    other = await browser.post("/editor", text=RULE.replace("id: received", "id: other"), rule_id="received", etag=etag)
    assert (other.status, "/id is not received" in other.page.text) == (422, True)
    read_only = await browser.post(
        "/editor", text=RULE.replace("received\n", "short-receipt\n", 1), rule_id="short-receipt", etag="*"
    )
    assert (read_only.status, "comes from a file" in read_only.page.text) == (409, True)
    assert "Copy to a new rule" in (await browser.get("/rules/received")).page.text
    assert (await browser.post("/rules/received/delete")).headers["location"] == "/rules"
    assert (await browser.get("/rules/received")).status == 404
    lines = [msgspec.json.decode(line) for line in capfd.readouterr().out.splitlines() if "admin.changed" in line]
    assert [(line["audit_action"], line["via"]) for line in lines] == [
        (f"rule.{change}", "console") for change in ("created", "updated", "deleted")
    ]


async def test_an_earlier_version_is_compared_and_activated(new_browser: NewBrowser, filled: Scenario) -> None:
    admin = new_browser()
    await admin.log_in("admin")
    first = await filled.worker.version() or ""
    await admin.post("/editor", text=RULE.replace("received\n", "shown\n", 1), note=NAUGHTY)
    history = (await admin.get("/history")).page
    assert NAUGHTY[:8] in history.text
    difference = (await admin.get(f"/history/diff?before={first}")).page.text
    assert "shown added" in difference
    assert (await admin.get("/history/diff?before=nothing")).status == 404
    assert "The versions are equal." in (await admin.get(f"/history/diff?before={first}&after={first}")).page.text
    assert (await admin.post("/history/rollback", version=first, note="x" * 501)).status == 422
    assert (await admin.post("/history/rollback", version="")).status == 422
    assert (await admin.post("/history/rollback", version="nothing")).status == 404
    assert (await admin.post("/history/rollback", version=first)).headers["location"] == "/history"
    assert await filled.worker.version() == first


async def test_hostile_text_in_rules_is_shown_as_text(browser: Browser, filled: Scenario) -> None:
    rule = {
        "id": "hostile", "type": "purchase_order", "name": NAUGHTY,
        "when": {"field": "reference", "op": "eq", "value": NAUGHTY},
        "actions": [{"id": "a", "do": "log", "message": "x"}],
    }  # fmt: skip
    text = msgspec.yaml.encode(rule).decode()
    assert (await browser.post("/editor", text=text, note=NAUGHTY)).status == 303
    await filled.worker.dependencies.rules.refresh()
    await filled.worker.run_worker()
    paths = (
        "/rules",
        "/rules/hostile",
        "/editor/hostile",
        "/editor?copy=hostile",
        "/history",
        f"/events/{filled.queued}?tab=rules",
    )
    for path in paths:
        answer = await browser.get(path)
        assert (answer.status, "<script>alert" in answer.text) == (200, False), path
        assert "alert(1)" in answer.text, path
