"""`waybill platforms`: what can be asked, what comes back, and what is said where nothing does."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.platforms import platforms
from service.errors import ConfigError
from service.sandbox.server import running_sandbox

CONFIG = """
platforms:
  pack: {{kind: pack_cloud, organization_id: o, token: {{env: T}}, base_url: "{url}/pack_cloud/v1"}}
  erp:
    kind: custom
    base_url: "{url}/pack_cloud/v1/organizations/o"
    auth: {{type: bearer, token: {{env: T}}}}
    records: {{customer: {{path: "/customers/{{id}}"}}}}
sources:
  pack-poll: {{platform: pack, poll: {{every: 5m, record: purchase_order}}}}
"""


@pytest.fixture
def desk(sandbox_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "waybill.yaml"
    path.write_text(CONFIG.format(url=sandbox_url))
    monkeypatch.setenv("WAYBILL_CONFIG", str(path))
    monkeypatch.setenv("WAYBILL_REDIS_URL", "unix:///nowhere.sock")
    monkeypatch.setenv("T", "sandbox-token")


@pytest.fixture
def sandbox_url() -> Iterator[str]:
    """A sandbox on a thread of its own, since the command brings its own event loop."""
    started, ended, urls = threading.Event(), asyncio.Event(), list[str]()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running_sandbox() as box:
            urls.append(box.url)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait(5)
    yield urls[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join(5)
    loop.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(platforms, arguments)


@pytest.mark.usefixtures("desk")
def test_accounts_and_their_reads_are_listed() -> None:
    assert run("list").stdout.splitlines() == ["account\tkind", "pack\tpack_cloud", "erp\tcustom"]
    lines = run("list", "pack").stdout.splitlines()
    assert "customer.get\tcustomer\t" in lines
    assert "rule_condition.get\trule condition\t" in lines
    assert run("list", "erp").stdout.splitlines() == [
        "operation\tneeds\ttakes",
        "record.get\tkind id\t",
        "record.list\tkind\tcursor",
    ]


@pytest.mark.usefixtures("desk")
def test_a_thing_is_printed_as_json_and_the_lack_of_shared_limits_is_said() -> None:
    result = run("get", "pack", "customer.get", "c-1")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["id"] == "c-1"
    assert "limits and pauses are not shared" in result.stderr
    page = json.loads(run("get", "pack", "purchase_order.list", "per_page=2", "statuses=received").stdout)
    assert len(page["items"]) == 2
    assert json.loads(run("get", "erp", "record.get", "customer", "c-1").stdout)["id"] == "c-1"


@pytest.mark.usefixtures("desk")
def test_what_is_not_there_or_refused_ends_with_a_failure() -> None:
    result = run("get", "pack", "customer.get", "missing-1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pack: customer.get customer=missing-1 not found" in result.stderr
    result = run("get", "erp", "record.get", "invoice", "1")
    assert result.exit_code == 1
    assert "unknown_kind: erp has no invoice" in result.stderr


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("list", "nobody"), "Platform account nobody not found."),
        (("get", "nobody", "customer.get", "1"), "Platform account nobody not found."),
        (("get", "pack", "customer.delete", "1"), "one of customer.get"),
        (("get", "pack", "customer.get"), "give customer, in order"),
    ],
)
def test_a_mistake_is_told_with_what_to_write_instead(arguments: tuple[str, ...], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert told in (result.exception.fix if isinstance(result.exception, ConfigError) else result.stderr)


@pytest.mark.usefixtures("desk")
def test_a_thing_is_written_changed_and_taken_away_by_hand(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    created = run("write", "pack", "rule.create", "--body", '{"name": "Hold", "type": "order"}', "--yes")
    assert created.exit_code == 0, created.stderr
    told = json.loads(created.stdout)
    assert told["http_status"] == 201
    line = json.loads(capfd.readouterr().err)
    assert (line["message"], line["audit_action"], line["target"]) == (
        "admin.changed",
        "platform.written",
        "pack:rule.create",
    )
    assert line["via"] == "command"
    change = tmp_path / "change.json"
    change.write_text('{"enabled": false}')
    changed = run("write", "pack", "rule.update", told["id"], "--body", f"@{change}", "--yes")
    assert json.loads(changed.stdout) == {"http_status": 200, "id": told["id"]}
    shown = json.loads(run("get", "pack", "rule.get", told["id"], "--raw").stdout)
    assert (shown["name"], shown["enabled"]) == ("Hold", False)
    assert json.loads(run("write", "pack", "rule.delete", told["id"], "--yes").stdout)["http_status"] == 204
    assert run("get", "pack", "rule.get", told["id"]).exit_code == 2
    gone = run("write", "pack", "rule.update", told["id"], "--body", "{}", "--yes")
    assert (gone.exit_code, "record_gone" in gone.stderr) == (1, True)


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nobody", "rule.create", "--yes"), "one of: pack, erp"),
        (("pack", "rule.get", "1", "--yes"), "one of integration.create"),
        (("erp", "customer.create", "--yes"), "only asked"),
        (("pack", "rule.update", "--body", "{}", "--yes"), "give rule, in order"),
        (("pack", "rule.create", "--yes"), "the arguments are a body"),
        (("pack", "rule.create", "--body", "[]", "--yes"), "the body"),
        (("pack", "rule.create", "--body", '{"name": "x"}', "--yes"), "missing required field"),
        (("pack", "rule.create", "--body", '{"name": "x", "type": "order", "nmae": 1}', "--yes"), "there is no nmae"),
        (("pack", "rule.create", "--body", "@/nowhere.json", "--yes"), "a file"),
        (("pack", "rule.delete", "1"), "add --yes"),
    ],
)
def test_a_write_that_does_not_fit_is_refused_before_anything_is_sent(arguments: tuple[str, ...], told: str) -> None:
    result = run("write", *arguments)
    assert result.exit_code != 0
    assert told in (result.exception.fix if isinstance(result.exception, ConfigError) else result.stderr)


@pytest.mark.usefixtures("desk")
def test_personal_data_is_only_shown_where_it_is_asked_for() -> None:
    assert "ada@" not in run("get", "pack", "customer.get", "c-1").stdout
    whole, redacted = (run("get", "pack", "customer.get", "c-1", *more).stdout for more in (["--raw"], []))
    assert json.loads(whole).keys() == json.loads(redacted).keys()
    assert whole != redacted
