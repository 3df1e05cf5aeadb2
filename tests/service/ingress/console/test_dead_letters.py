"""Groups of dead letters, and their bulk replay and discard."""

import re
from urllib.parse import urlencode

import pytest

from service.sandbox.faults import Fault

from .conftest import NAUGHTY, Browser, NewBrowser
from .scenario import Scenario, add_event, order

pytestmark = pytest.mark.slow

FILTER = {"error_kind": "target_rejected", "source": "shop", "rule": "short-receipt"}


@pytest.fixture
async def dead(filled: Scenario) -> list[str]:
    """Three dead letters of one error."""
    ids = [filled.dead]
    for number in (1, 2):
        body = f'{{"error": "{NAUGHTY[:8]}"}}' if number == 1 else None
        filled.worker.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=422, body=body))
        ids.append(await add_event(filled.worker, f"po-{number}", order(f"po-{number}", 9, 1)))
    await filled.worker.run_worker()
    return ids


async def states(filled: Scenario, ids: list[str]) -> list[str]:
    return [(await filled.worker.stored_event(event_id))["state"] for event_id in ids]


async def test_dead_letters_of_one_error_source_and_rule_are_one_group(browser: Browser, dead: list[str]) -> None:
    page = (await browser.get("/dead-letters")).page
    assert re.search(r"3 target_rejected 127\.0\.0\.1:\d+ answered 422.* shop short-receipt 127\.0\.0\.1", page.text)
    query = urlencode({**FILTER, "count": 3})
    assert f"/dead-letters/selection?{query}" in page.links
    selection = (await browser.get(f"/dead-letters/selection?{query}")).page
    assert {f"/events/{event_id}" for event_id in dead} <= set(selection.links)
    assert "all that match (3)" in selection.text
    assert "No dead letter matches" in (await browser.get("/dead-letters/selection?source=till-orders")).page.text


async def test_selected_dead_letters_are_replayed(browser: Browser, dead: list[str], filled: Scenario) -> None:
    fields = [
        ("form_token", browser.form_token),
        ("action", "replay"),
        ("rate", "50"),
        ("id", dead[1]),
        ("id", dead[2]),
    ]
    answer = await browser.submit("/dead-letters/change", urlencode([*fields, ("id", "nothing")]))
    assert "3 processed, finished." in answer.page.text
    assert "skipped 1" in answer.page.text
    assert await states(filled, dead) == ["dead", "decided", "decided"]


async def test_all_that_match_are_replayed_page_by_page(browser: Browser, dead: list[str], filled: Scenario) -> None:
    fields = {**FILTER, "action": "replay", "everything": "1", "rate": "1", "total": "3"}
    texts: list[str] = []
    for _ in range(4):
        answer = await browser.post("/dead-letters/change", **fields)
        texts.append(answer.page.text)
        names = ("n_replayed", "after", "total", "rate", "action", "everything", *FILTER)
        if "after" not in answer.page.fields:
            break
        fields = {name: answer.page.fields[name] for name in names}
    assert ["1 of 3 processed." in texts[0], "2 of 3 processed." in texts[1], "3 processed" in texts[2]] == [True] * 3
    assert "finished" in texts[-1]
    assert await states(filled, dead) == ["decided"] * 3


async def test_dead_letters_are_discarded_with_a_reason_only(
    browser: Browser, dead: list[str], filled: Scenario
) -> None:
    for fields, field in (
        ({"action": "discard", "everything": "1", "reason": " "}, "reason"),
        ({"action": "discard", "everything": "1", "reason": "x" * 501}, "reason"),
        ({"action": "replay"}, "selection"),
        ({"action": "erase", "everything": "1"}, "selection"),
        ({"action": "replay", "everything": "1", "rate": "2"}, "rate"),
    ):
        answer = await browser.post("/dead-letters/change", **FILTER, **fields)
        assert (answer.status, f"{field}-error" in answer.page.ids) == (422, True), fields
        assert answer.page.fields["reason"] == fields.get("reason", "")
    assert await states(filled, dead) == ["dead"] * 3
    answer = await browser.post("/dead-letters/change", **FILTER, action="discard", everything="1", reason=NAUGHTY)
    assert "discarded 3" in answer.page.text
    assert "No dead letters." in (await browser.get("/dead-letters")).page.text


async def test_viewers_see_dead_letters_without_forms(new_browser: NewBrowser, dead: list[str]) -> None:
    viewer = new_browser()
    await viewer.log_in("viewer")
    page = (await viewer.get("/dead-letters/selection")).page
    assert f"/events/{dead[0]}" in page.links
    assert [action for _, action in page.forms if action.startswith("/dead-letters")] == ["/dead-letters/change"]
    assert "Discard" not in page.text
