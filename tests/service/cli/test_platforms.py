"""`waybill platforms`: operations, results and errors."""

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
  shop:
    kind: custom
    base_url: "{url}/_sandbox/platform"
    auth: {{type: bearer, token: {{env: T}}}}
    records: {{customer: {{path: "/customers/{{id}}"}}}}
    operations:
      order.hold: {{method: POST, path: "/orders/{{order}}", repeat: keyed, body: {{note: "{{note}}", by: "{{user}}"}}}}
sources:
  pack-poll: {{platform: pack, poll: {{every: 5m, record: purchase_order}}}}
"""


@pytest.fixture
def configuration(sandbox_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "waybill.yaml"
    path.write_text(CONFIG.format(url=sandbox_url))
    monkeypatch.setenv("WAYBILL_CONFIG", str(path))
    monkeypatch.setenv("WAYBILL_REDIS_URL", "unix:///nowhere.sock")
    monkeypatch.setenv("T", "sandbox-token")


@pytest.fixture
def sandbox_url() -> Iterator[str]:
    """Run a sandbox in a thread, since the command has its own event loop."""
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


@pytest.mark.usefixtures("configuration")
def test_operations_are_listed_without_a_store() -> None:
    circuits = run("list")
    assert (circuits.exit_code, circuits.stdout, "store_unavailable" in circuits.stderr) == (1, "", True)
    lines = run("list", "pack").stdout.splitlines()
    assert "customer.get\tread\tcustomer\t" in lines
    assert "rule_condition.get\tread\trule condition\t" in lines
    assert "rule.update\twrite\trule --body\t" in lines
    assert run("list", "shop").stdout.splitlines() == [
        "operation\tkind\trequired\toptional",
        "record.get\tread\tkind id\t",
        "record.list\tread\tkind\tcursor",
        "order.hold\twrite\torder --body\t",
    ]


@pytest.mark.usefixtures("configuration")
def test_a_record_is_printed_as_json_with_a_warning_about_limits_that_are_not_shared() -> None:
    result = run("get", "pack", "customer.get", "c-1")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["id"] == "c-1"
    assert "rate limits are not shared" in result.stderr
    page = json.loads(run("get", "pack", "purchase_order.list", "per_page=2", "statuses=received").stdout)
    assert len(page["items"]) == 2
    assert json.loads(run("get", "erp", "record.get", "customer", "c-1").stdout)["id"] == "c-1"


@pytest.mark.usefixtures("configuration")
def test_a_missing_record_and_an_unknown_kind_are_errors() -> None:
    result = run("get", "pack", "customer.get", "missing-1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pack: customer.get customer=missing-1 not found" in result.stderr
    result = run("get", "erp", "record.get", "invoice", "1")
    assert result.exit_code == 2
    assert "erp has no invoice to fetch" in result.stderr


@pytest.mark.usefixtures("configuration")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "nobody"), "Platform account nobody not found."),
        (("get", "nobody", "customer.get", "1"), "Platform account nobody not found."),
        (("get", "pack", "customer.delete", "1"), "use one of customer.get"),
        (("get", "pack", "customer.get"), "give customer, in this order"),
    ],
)
def test_a_usage_error_is_printed_with_the_fix(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert message in (result.exception.fix if isinstance(result.exception, ConfigError) else result.stderr)


@pytest.mark.usefixtures("configuration")
def test_a_record_is_created_updated_and_deleted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    created = run("write", "pack", "rule.create", "--body", '{"name": "Hold", "type": "order"}', "--yes")
    assert created.exit_code == 0, created.stderr
    response = json.loads(created.stdout)
    assert response["http_status"] == 201
    line = json.loads(capfd.readouterr().err)
    assert (line["message"], line["audit_action"], line["target"]) == (
        "admin.changed",
        "platform.written",
        "pack:rule.create",
    )
    assert line["via"] == "command"
    change = tmp_path / "change.json"
    change.write_text('{"enabled": false}')
    changed = run("write", "pack", "rule.update", response["id"], "--body", f"@{change}", "--yes")
    assert json.loads(changed.stdout) == {
        "http_status": 200,
        "id": response["id"],
        "response": response["response"] | {"enabled": False},
    }
    assert response["response"]["name"] == "Hold"
    shown = json.loads(run("get", "pack", "rule.get", response["id"], "--raw").stdout)
    assert (shown["name"], shown["enabled"]) == ("Hold", False)
    assert json.loads(run("write", "pack", "rule.delete", response["id"], "--yes").stdout)["http_status"] == 204
    assert run("get", "pack", "rule.get", response["id"]).exit_code == 2
    deleted = run("write", "pack", "rule.update", response["id"], "--body", "{}", "--yes")
    assert (deleted.exit_code, "record_gone" in deleted.stderr) == (1, True)


@pytest.mark.usefixtures("configuration")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody", "rule.create", "--yes"), "one of: pack, erp"),
        (("pack", "rule.get", "1", "--yes"), "use one of integration.create"),
        (("erp", "customer.create", "--yes"), "erp is read-only"),
        (("pack", "rule.update", "--body", "{}", "--yes"), "give rule, in this order"),
        (("pack", "rule.create", "--yes"), "the arguments are a body"),
        (("pack", "rule.create", "--body", "[]", "--yes"), "the body"),
        (("pack", "rule.create", "--body", '{"name": "x"}', "--yes"), "the body.type: is missing"),
        (("pack", "rule.create", "--body", '{"name": "x", "type": "order", "nmae": 1}', "--yes"), "there is no nmae"),
        (("pack", "rule.create", "--body", "@/nowhere.json", "--yes"), "a file"),
        (("pack", "rule.delete", "1"), "Add --yes"),
    ],
)
def test_an_invalid_write_is_rejected_before_a_request_is_sent(arguments: tuple[str, ...], message: str) -> None:
    result = run("write", *arguments)
    assert result.exit_code != 0
    assert message in (result.exception.fix if isinstance(result.exception, ConfigError) else result.stderr)


@pytest.mark.usefixtures("configuration")
def test_personal_data_is_shown_with_raw_only() -> None:
    assert "ada@" not in run("get", "pack", "customer.get", "c-1").stdout
    whole, redacted = (run("get", "pack", "customer.get", "c-1", *more).stdout for more in (["--raw"], []))
    assert json.loads(whole).keys() == json.loads(redacted).keys()
    assert whole != redacted


@pytest.mark.usefixtures("configuration")
def test_names_of_configuration_objects_and_products_are_shown() -> None:
    for operation, arguments, path, name in [
        ("rule.get", ["1"], ["name"], "Always accept return requests"),
        ("rule_type.get", ["1"], ["actions", 0, "fields", 0, "title"], "Subject"),
        ("rule_type.get", ["1"], ["actions", 0, "name"], "Accept return request"),
        ("integration.get", ["1"], ["name"], "Web shop"),
        ("purchase_order.get", ["1"], ["lines", 0, "product", "name"], "Pencil - Orange"),
        ("purchase_order.get", ["1"], ["supplier", "name"], "[redacted]"),
        ("purchase_order.get", ["1"], ["events", 0, "creator", "name"], "[redacted]"),
        ("customer.get", ["1"], ["billing_address"], "[redacted]"),
    ]:
        shown = json.loads(run("get", "pack", operation, *arguments).stdout)
        for step in path:
            shown = shown[step]
        assert shown == name, (operation, path)
    types = run("get", "pack", "rule_type.list").stdout
    assert "Accept return request" in types
    assert "too deep" not in types


@pytest.mark.usefixtures("configuration")
def test_the_response_of_a_write_is_shown() -> None:
    executed = ("write", "pack", "integration_action.execute", "1", "import", "--body", "{}", "--yes")
    response = json.loads(run(*executed).stdout)["response"]
    assert response == {"action": "import"}
    created = ("write", "pack", "integration.create", "--body", '{"name": "Shop", "connector_id": "c"}', "--yes")
    assert json.loads(run(*created).stdout)["response"]["name"] == "Shop"


@pytest.mark.usefixtures("configuration")
def test_a_declared_operation_is_called_by_hand(capfd: pytest.CaptureFixture[str]) -> None:
    body = '{"note": "damaged", "user": "ann"}'
    called = run("write", "shop", "order.hold", "po-7", "--body", body, "--yes")
    assert json.loads(called.stdout) == {"http_status": 200, "id": "po-7", "response": {"id": "po-7"}}
    assert json.loads(capfd.readouterr().err)["target"] == "shop:order.hold:po-7"
    mistaken = run("write", "shop", "order.hold", "po-7", "--body", '{"note": "damaged"}', "--yes")
    assert mistaken.exit_code != 0
    assert "the value of user is missing" in mistaken.stderr
    unknown = run("write", "shop", "order.release", "po-7", "--yes")
    assert "Fix: use one of order.hold" in unknown.stderr
