"""Rulebook versions: diff, rollback, export, retention, concurrent changes; and the command `rules test`."""

import asyncio
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from service.actions import load_actions
from service.cli.rules import rules
from service.errors import ConfigError, StoreUnavailable
from service.rules import document_version, parse_document, write_document
from service.rules.json_schema import write_schema
from service.rules.publishing import change_rules, publish_file_rules, rollback
from service.rules.rulebook_document import Document
from service.settings import Settings
from service.store import Store, open_store
from service.store.rulebook import retention_ms
from tests.service.rules.rule_samples import load_rulebook, rules_of

ROOT = Path(__file__).parents[3]
ONE = "- {id: one, type: purchase_order, sort: 2}\n"
LOGGED = "- {id: one, type: purchase_order, actions: [{id: a, do: log, message: hi}]}"
TWO = "- {id: two, type: customer}\n"
EXAMPLE = """
- name: a name
  type: purchase_order
  record: {id: po-1, status: received}
  expect: {matches: [EXPECTED], effects: []}
"""

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    environ = {"WAYBILL_REDIS_URL": settings.redis_url, "USER": "ann"}
    return lambda *arguments: CliRunner(env=environ).invoke(rules, [*map(str, arguments)])


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def versions(run: Run) -> list[str]:
    return [json.loads(line)["version"] for line in run("history", "-o", "json").stdout.splitlines()]


def test_versions_can_be_compared_rolled_back_and_exported(run: Run, tmp_path: Path) -> None:
    for text in (ONE, ONE.replace("sort: 2", "sort: 3") + TWO):
        assert run("apply", write(tmp_path, "rules.yaml", text)).exit_code == 0
    second, first = versions(run)
    lines = run("diff", first).stdout.splitlines()
    assert lines[0] == "changed one"
    assert {"  -sort: 2", "  +sort: 3", "added two"} <= set(lines)
    changes = [json.loads(line) for line in run("diff", second, first, "-o", "json").stdout.splitlines()]
    assert [change["change"] for change in changes] == ["changed", "removed"]
    assert run("diff", second).stdout == "The versions do not differ.\n"
    assert run("rollback", first, "--note", "oops").stdout == f"{first} activated, 1 rule\n"
    assert run("rollback", first).stdout == f"{first} already active, 1 rule\n"
    assert versions(run) == [first, second, first]
    assert run("show", "--version", second).stdout.startswith(f"# version {second}")
    for arguments in (["rollback", "none"], ["diff", "none"], ["export", "--version", "none"]):
        assert f"Rulebook version {arguments[-1]} not found" in run(*arguments).stderr
    assert rules_of(run("export").stdout) == rules_of(ONE)
    assert run("export", "--to", tmp_path / "out").stdout == f"{tmp_path}/out/files.yaml: 1 rule\n"
    assert run("check", tmp_path / "out" / "files.yaml").exit_code == 0


async def test_concurrent_changes_are_all_applied(store: Store) -> None:
    def adding(name: str) -> Callable[[Document], Document]:
        (rule,) = rules_of(ONE.replace("one", name))
        return lambda document: structs.replace(document, api_rules=(*document.api_rules, rule))

    names = [f"rule-{number}" for number in range(12)]
    await asyncio.gather(*(change_rules([store.rulebook], adding(name), name, "") for name in names))
    active = await store.rulebook.current()
    assert active is not None
    assert {rule.id for rule in parse_document(active[1]).api_rules} == set(names)
    assert len(await store.rulebook.history()) == len(names)


async def test_rollback_to_rules_that_do_not_load_is_rejected(store: Store) -> None:
    await publish_file_rules([store.rulebook], rules_of(ONE), load_rulebook, "ops", "")
    broken = write_document(rules_of("- {id: x, type: customer, when: {field: gone, op: exists}}"))
    before = await store.rulebook.version()
    assert await store.rulebook.publish(document_version(broken), broken, "old", "", before)
    await publish_file_rules([store.rulebook], rules_of(TWO), load_rulebook, "ops", "")
    with pytest.raises(ConfigError, match="no field 'gone'"):
        await rollback([store.rulebook], document_version(broken), load_rulebook, "ops", "")


async def test_all_stores_follow_the_first_one(settings: Settings, make_settings: Callable[..., Settings]) -> None:
    first, second = await open_store(settings), await open_store(make_settings(key_prefix="other:"))
    stores = [first.rulebook, second.rulebook]
    await publish_file_rules([second.rulebook], rules_of(TWO), load_rulebook, "stray", "")
    published = await publish_file_rules(stores, rules_of(ONE), load_rulebook, "ops", "")
    assert await first.rulebook.current() == await second.rulebook.current()
    assert await second.rulebook.version() == published.version
    await first.close()
    await second.close()


async def test_version_is_deleted_when_no_decision_can_refer_to_it(make_settings: Callable[..., Settings]) -> None:
    brief = make_settings(
        decision_retention_days=0.000001, dead_letter_retention_days=0.000001, event_age_seconds_max=0.000001
    )
    store = await open_store(brief)
    for text in (ONE, TWO, ONE):
        published = await publish_file_rules([store.rulebook], rules_of(text), load_rulebook, "ops", "")
    gone = document_version(write_document(rules_of(TWO)))
    assert await store.rulebook.document(gone) is not None
    await asyncio.sleep(retention_ms(brief) / 1000 + 0.02)
    await publish_file_rules([store.rulebook], rules_of(ONE + TWO), load_rulebook, "ops", "")
    assert await store.rulebook.document(gone) is None
    assert published.version == document_version(write_document(rules_of(ONE)))
    await store.close()


def test_versions_are_kept_as_long_as_decisions_and_dead_letters() -> None:
    day = 86_400_000
    assert (
        retention_ms(Settings(decision_retention_days=14, dead_letter_retention_days=90, event_age_seconds_max=86_400))
        == 91 * day
    )
    assert (
        retention_ms(Settings(decision_retention_days=14, dead_letter_retention_days=7, event_age_seconds_max=86_400))
        == 15 * day
    )
    assert retention_ms(Settings(dead_letter_retention_days=0)) == 0


async def test_long_documents_are_stored_compressed(store: Store) -> None:
    document = write_document(rules_of("".join(f"- {{id: r{number}, type: customer}}\n" for number in range(100))))
    assert await store.rulebook.publish(document_version(document), document, "ops", "", None)
    stored = await store.client.command("GET", store.keys.named(f"rulebook:{document_version(document)}"))
    assert len(stored) < len(document) / 5
    assert zlib.decompress(stored) == await store.rulebook.document(document_version(document)) == document
    await store.client.command("SET", store.keys.named("rulebook:bad"), b"x\x9cnothing")
    with pytest.raises(StoreUnavailable, match="is damaged"):
        await store.rulebook.document("bad")


def test_published_schema_is_current() -> None:
    assert (ROOT / "docs" / "rules.schema.json").read_text() == write_schema(load_actions()), (
        "run: waybill rules schema > docs/rules.schema.json"
    )


def test_failed_rule_tests_are_reported(run: Run, tmp_path: Path) -> None:
    rule = write(tmp_path, "r.yaml", LOGGED)
    fine = write(tmp_path, "r.examples.yaml", EXAMPLE.replace("EXPECTED", "one").replace(", effects: []", ""))
    good = run("test", "--rules", rule)
    assert (good.exit_code, good.stdout) == (0, "ok     a name\n1 test, 0 failed\n")
    fine.write_text(EXAMPLE.replace("EXPECTED", "two"))
    bad = run("test", "--rules", rule, fine)
    assert bad.exit_code == 1
    assert [line.strip() for line in bad.stdout.splitlines()] == [
        "FAILED a name",
        "- matches: two (not evaluated: no such rule for this type, event and source)",
        "+ matches: one (matched)",
        "+ effect: one.a",
        "1 test, 1 failed",
    ]


def test_results_as_junit_name_each_test_and_its_differences(run: Run, tmp_path: Path) -> None:
    rule, report = write(tmp_path, "r.yaml", ONE), tmp_path / "report.xml"
    right = write(tmp_path, "r.examples.yaml", EXAMPLE.replace("EXPECTED", "one"))
    wrong = write(tmp_path, "s.examples.yaml", EXAMPLE.replace("EXPECTED", "two").replace("a name", '"a \\x01<name>"'))
    assert run("test", "--rules", rule, "--junit", report, right, wrong).exit_code == 1
    printed = run("test", "--rules", rule, "-o", "json", right, wrong)
    results = [json.loads(line) for line in printed.stdout.splitlines()]
    assert (printed.exit_code, [bool(result["differences"]) for result in results]) == (1, [False, True])
    suite = ET.fromstring(report.read_bytes())  # noqa: S314 - written by the command above
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    names = [case.get("name") for case in suite]
    assert names == ["a name", "a \N{REPLACEMENT CHARACTER}<name>"]
    assert "matches: two" in str(suite[1][0].text)


def test_junit_file_that_cannot_be_written_is_an_error(run: Run, tmp_path: Path) -> None:
    rule = write(tmp_path, "r.yaml", ONE)
    write(tmp_path, "r.examples.yaml", EXAMPLE.replace("EXPECTED", "one"))
    error = run("test", "--rules", rule, "--junit", tmp_path / "missing" / "report.xml").exception
    assert "cannot be written" in str(error)


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        (("status: received", "statsu: received"), r"\[0\]\.record\.statsu: is not a field"),
        (("status: received", "status: 3"), r"\[0\]\.record\.status: Expected"),
        (("name: a name", "nmae: a name"), r"\[0\].nmae: unknown key"),
        (("expect:", "previous: {statsu: x}\n  expect:"), r"\[0\]\.previous\.statsu: is not a field"),
    ],
)
def test_error_in_rule_test_has_path(run: Run, tmp_path: Path, change: tuple[str, str], mistake: str) -> None:
    rule = write(tmp_path, "r.yaml", ONE)
    write(tmp_path, "r.examples.yaml", EXAMPLE.replace(*change))
    error = run("test", "--rules", rule).exception
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=mistake):
        raise error


def test_only_listed_inputs_are_compared(run: Run, tmp_path: Path) -> None:
    rule = write(
        tmp_path, "r.yaml", "- {id: one, type: purchase_order, actions: [{id: a, do: log, message: '{status}'}]}"
    )
    effects = "effects: [{rule: one, action: a, inputs: {message: shipped}}, {rule: one, action: b}]"
    write(tmp_path, "r.examples.yaml", EXAMPLE.replace("EXPECTED", "one").replace("effects: []", effects))
    lines = [line.strip() for line in run("test", "--rules", rule).stdout.splitlines()]
    assert lines[1:4] == [
        "- effect: one.b", "- effect: one.a.message = 'shipped'", "+ effect: one.a.message = 'received'",
    ]  # fmt: skip


def test_rules_test_without_test_files_fails(run: Run, tmp_path: Path) -> None:
    assert "no test file found" in str(run("test", "--rules", write(tmp_path, "r.yaml", ONE)).exception)


def test_rule_tests_of_the_documentation_pass(run: Run) -> None:
    result = run("test", "--rules", ROOT / "docs/examples/rules/purchase-orders.yaml")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "4 tests, 0 failed")


async def test_publishing_over_an_unreadable_document_is_rejected(store: Store) -> None:
    assert await store.rulebook.publish("v9", b'{"format": 9}', "future", "", None)
    with pytest.raises(ConfigError, match="active rulebook"):
        await publish_file_rules([store.rulebook], rules_of(ONE), load_rulebook, "ops", "")
    assert parse_document(write_document(rules_of(ONE))).rules == rules_of(ONE)
