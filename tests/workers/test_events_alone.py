"""Events of a source without a platform: the documented example, from a delivery to its effect, without a fetch."""

import json
import re
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from service.actions import load_actions
from service.cli.rule_files import read_configured_rules
from service.cli.rules import rules as rules_command
from service.cli.rules_test import DeliveryReader, ResponseReader
from service.config import Config
from service.configuration import load_config
from service.errors import ConfigError, Rejection
from service.events import Delivery, RecordRef, new_event_id
from service.ingestion.arrivals import DeliveryContext, build_ingest_requests, match_outcomes
from service.ingestion.sources import Source, build_sources
from service.management.audit_log import Actor
from service.management.dry_run import Candidate, DryRunOperations
from service.management.installation import Installation
from service.rules import Rulebook, write_document
from service.rules.compiler.rule import compile_rule
from service.rules.header_checks import check_headers
from service.rules.rule_tests import read_tests, run_tests
from service.settings import Settings
from service.signatures import Verified
from service.store import Shards
from tests.service.rules.rule_samples import rules_of
from tests.workers.harness import WorkerHarness, open_harness

pytestmark = pytest.mark.store

PAGE = Path(__file__).parents[2] / "docs/how-to/act-on-events-without-a-platform.md"
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]
TOKEN = "alarm-token-0123456789"
HEADERS = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json", "user-agent": "FreezerGuard/2.1"}
WARM = {"alarm": {"id": "a-1", "name": "temperature"}, "machine": "freezer-7", "celsius": -11.5}
VERIFIED = Verified(None, b"")
ACTIONS = {str(action.__struct_config__.tag): action for action in load_actions()}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Return the configuration of the page, with its rules and tests beside it."""
    source, rules, tests = BLOCKS
    (tmp_path / "waybill.yaml").write_text(source + "rules: [r.yaml]\n")
    (tmp_path / "r.yaml").write_text(rules)
    (tmp_path / "r.examples.yaml").write_text(tests)
    monkeypatch.setenv("ALARMS_TOKEN", TOKEN)
    monkeypatch.setenv("WAYBILL_CONFIG", str(tmp_path / "waybill.yaml"))
    return load_config(tmp_path / "waybill.yaml", {"ALARMS_TOKEN": TOKEN})


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    async with open_harness(make_settings()) as opened:
        yield opened


async def deliver(harness: WorkerHarness, source: Source, *bodies: dict[str, Any]) -> list[str]:
    """Ingest deliveries as the ingress does, run the worker, and return the ids of the events."""
    event_ids: list[str] = []
    for body in bodies:
        delivery = Delivery(source.name, HEADERS, json.dumps(body).encode(), 0.0)
        verified = source.verify_and_parse(delivery)
        context = DeliveryContext(delivery, "", source.window_ms, new_event_id())
        results = [
            await harness.store.ingest(each.event, each.dedupe_key, each.window_ms)
            for each in build_ingest_requests(verified, context)
        ]
        event_ids += [str(outcome.event_id) for outcome in match_outcomes(verified, results)]
    await harness.run_worker()
    return event_ids


def source_of(config: Config, settings: Settings, name: str = "alarms") -> Source:
    return build_sources(config, {"ALARMS_TOKEN": TOKEN}, {}, settings)[name]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("raw.x", "has no raw.x"),
        ("previous.id", "has no previous.id"),
        ("event.record.platform", "has no event.record.platform"),
        ("status", "no field"),
    ],
)
def test_field_that_an_event_alone_does_not_have_is_rejected(path: str, message: str) -> None:
    (rule,) = rules_of(f"- {{id: r, type: event, when: {{field: {path}, op: exists}}, actions: []}}")
    with pytest.raises(ConfigError, match=message):
        compile_rule(rule, ACTIONS, "rule")


def test_lookup_of_an_event_names_its_account() -> None:
    text = "- {id: r, type: event, with: {order: {kind: %s, id: '{delivery.order}'%s}}, actions: [ACTION]}"
    text = text.replace("ACTION", "{id: a, do: log, message: '{order.id}'}")
    for kind, more, path in (("purchase_order", "", "platform"), ("event", ", platform: pack", "kind")):
        (rule,) = rules_of(text % (kind, more))
        with pytest.raises(ConfigError) as caught:
            compile_rule(rule, ACTIONS, "rule")
        assert caught.value.path == f"rule.with.order.{path}"
    (rule,) = rules_of(text % ("purchase_order", ", platform: pack"))
    compile_rule(rule, ACTIONS, "rule")


def test_write_on_a_platform_names_its_account() -> None:
    text = "- {id: r, type: event, actions: [{id: a, do: pack_cloud_delete_integration, integration: x%s}]}"
    (rule,) = rules_of(text % "")
    with pytest.raises(ConfigError, match=r"actions\[0\]\.account: .*event\.record\.platform"):
        compile_rule(rule, ACTIONS, "rule")
    (rule,) = rules_of(text % ", account: pack")
    compile_rule(rule, ACTIONS, "rule")


def test_record_id_that_is_empty_or_too_long_has_no_place_in_a_key(config: Config) -> None:
    source = source_of(config, Settings())
    with pytest.raises(Rejection, match="record's id"):
        source.parse(Delivery("alarms", HEADERS, json.dumps(WARM | {"machine": "x" * 257}).encode(), 0.0), VERIFIED)
    for machine in ("", None, {"a": 1}):
        parsed = source.parse(
            Delivery("alarms", HEADERS, json.dumps(WARM | {"machine": machine}).encode(), 0.0), VERIFIED
        )
        assert parsed.facts[0].record == RecordRef("alarms", "event", "")


async def test_page_from_delivery_to_effect_without_a_fetch(harness: WorkerHarness, config: Config) -> None:
    await harness.publish(BLOCKS[1].replace("https://erp.example.com", "SINK"))
    source = source_of(config, harness.settings)
    ids = await deliver(
        harness, source, WARM,
        WARM | {"alarm": {"id": "a-2", "name": "temperature"}, "celsius": -18},
        WARM | {"alarm": {"id": "a-3", "name": "temperature"}},
        WARM | {"alarm": {"id": "a-4", "name": "temperature"}, "machine": None},
    )  # fmt: skip
    machines = {body["alarm"]: (body["machine"], body["celsius"]) for body in harness.sink_bodies()}
    assert machines == {"a-1": ("freezer-7", -11.5), "a-3": ("freezer-7", -11.5), "a-4": (ids[3], -11.5)}
    assert harness.log_lines("record.fetched") == []
    stored = [await harness.stored_event(event_id) for event_id in ids]
    assert [each["outcome"] for each in stored] == ["matched", "unmatched", "matched", "matched"]
    # No state of a record is stored, and the lanes are gone.
    assert await harness.store.client.command("KEYS", f"{harness.settings.key_prefix}record:*") == []


async def test_rule_about_the_event_alone_sees_events_of_a_source_with_a_platform(harness: WorkerHarness) -> None:
    action = 'actions: [{id: tell, do: http, url: SINK/x, body: {rule: "%s", id: "{id}", code: "{delivery.code}"}}]'
    await harness.publish(
        "- {id: all, type: event, when: {field: delivery.code, op: eq, value: 7}, %s}\n" % (action % "all")
        + "- {id: orders, type: purchase_order, sources: [shop], %s}\n" % (action % "orders")
        + "- {id: other, type: event, sources: [alarms], %s}\n" % (action % "other")
    )
    ids = [
        await harness.send("po-1", body=b'{"code": 7}'),
        await harness.send("po-2", body=b'{"code": 8}'),
        await harness.send("po-nowhere", body=b'{"code": 7}'),
    ]
    await harness.run_worker()
    bodies = {(body["rule"], body["id"], body["code"]) for body in harness.sink_bodies()}
    assert bodies >= {("all", "po-1", 7), ("orders", "po-1", 7), ("orders", "po-2", 8), ("all", "po-nowhere", 7)}
    assert not any(rule == "other" or (rule, code) == ("all", 8) for rule, _, code in bodies)
    stored = [await harness.stored_event(event_id) for event_id in ids]
    assert [each["state"] for each in stored[:2]] == ["ended", "ended"]


async def test_further_headers_of_a_source_are_stored_and_read(harness: WorkerHarness, config: Config) -> None:
    text = (
        "- {id: site, type: event, when: {field: delivery.headers.x-site, op: eq, value: oslo}, "
        "actions: [{id: a, do: http, url: SINK/x, body: {site: '{delivery.headers.x-site}'}}]}"
    )
    (rule,) = rules_of(text)
    (mistake,) = check_headers(config.sources, rule, "rule")
    assert (mistake.path, mistake.reason) == ("rule", "the header x-site is not stored with an event")
    config.path.write_text(BLOCKS[0].replace("    verify:", "    headers: [x-site]\n    verify:"))
    changed = load_config(config.path, {"ALARMS_TOKEN": TOKEN})
    assert list(check_headers(changed.sources, rule, "rule")) == []
    await harness.publish(text)
    source = source_of(changed, harness.settings)
    delivery = Delivery("alarms", HEADERS | {"x-site": "oslo", "x-other": "o"}, json.dumps(WARM).encode(), 0.0)
    context = DeliveryContext(delivery, "", source.window_ms, new_event_id(), source.stored_headers)
    (request,) = build_ingest_requests(source.verify_and_parse(delivery), context)
    assert "x-other" not in request.event.headers
    await harness.store.ingest(request.event, request.dedupe_key, request.window_ms)
    await harness.run_worker()
    assert harness.sink_bodies() == [{"site": "oslo"}]


async def test_equal_events_without_ids_are_all_decided(harness: WorkerHarness, config: Config) -> None:
    text = "- {id: every, type: event, actions: [{id: a, do: http, url: SINK/x, body: {n: '{delivery.n}'}}]}"
    await harness.publish(text)
    envelope = "{kind: custom, type: beat, record: {id: /machine}}"
    config.path.write_text(
        f"sources: {{beats: {{verify: {{scheme: bearer, secrets: [{{env: ALARMS_TOKEN}}]}}, envelope: {envelope}}}}}"
    )
    source = source_of(load_config(config.path, {"ALARMS_TOKEN": TOKEN}), harness.settings, "beats")
    await deliver(harness, source, *({"machine": "m", "n": number} for number in (1, 2, 2, 3)))
    # The third delivery has the signed bytes of the second one, so it is a duplicate.
    assert [body["n"] for body in harness.sink_bodies()] == [1, 2, 3]


def test_rule_tests_and_check_of_the_page(config: Config) -> None:
    files = read_configured_rules(config)
    rulebook = Rulebook.load(write_document([rule for file in files for rule in file.rules]), load_actions())
    tests = read_tests(config.path.parent / "r.examples.yaml", ResponseReader(), DeliveryReader(), rulebook.records)
    assert [(result.name, list(result.differences)) for result in run_tests(rulebook, tests)] == [
        (test.test.name, []) for test in tests
    ]
    run = CliRunner().invoke(rules_command, ["test"])
    assert (run.exit_code, run.output.splitlines()[-1]) == (0, "2 tests, 0 failed")


async def test_dry_run_of_a_stored_event_reads_its_delivery(harness: WorkerHarness, config: Config) -> None:
    await harness.publish(BLOCKS[1].replace("https://erp.example.com", "SINK"))
    (event_id,) = await deliver(harness, source_of(config, harness.settings), WARM)
    installation = Installation(
        open_store=lambda: Shards([harness.store]), config=lambda: config, platforms=dict, sources=dict,
        actions=load_actions, records=lambda: config.record_types,
    )  # fmt: skip
    operations = DryRunOperations(installation, Actor("test", "operator"))
    run = await operations.dry_run_event(Candidate(), event_id)
    assert [(verdict.rule_id, verdict.result) for verdict in run.verdicts] == [("hot-freezer", "matched")]
    assert not run.gone
    with pytest.raises(ConfigError, match="no record to fetch"):
        await operations.dry_run_record(Candidate(), RecordRef("alarms", "event", "freezer-7"))
