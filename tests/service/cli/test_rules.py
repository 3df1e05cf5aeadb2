"""`waybill rules` on a real store."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.actions import load_actions
from service.cli.rules import rules
from service.errors import ConfigError, StoreUnavailable
from service.rules import Rulebook, document_version, parse_document, write_document
from service.rules.publishing import PUBLISH_ATTEMPTS_MAX, publish_file_rules
from service.settings import Settings
from service.store import Store
from service.store.rulebook import RulebookStore
from tests.service.rules.rule_samples import load_rulebook, rules_of

Run = Callable[..., Result]

ONE = "- {id: one, type: purchase_order, sort: 2, name: The first, events: [created]}\n"
TWO = "- {id: two, type: customer, sort: 1, enabled: false, sources: [shop]}\n"
CONFIG = """
platforms: {pack: {kind: pack_cloud, organization_id: o, token: {env: TOKEN}}}
sources: {shop: {platform: pack, verify: {scheme: basic, username: till, password: {env: TOKEN}}}}
rules: [rules/*.yaml]
"""


@pytest.fixture
def run(settings: Settings, tmp_path: Path) -> Run:
    environ = {"WAYBILL_REDIS_URL": settings.redis_url, "USER": "ann", "TOKEN": "t" * 32}
    environ["WAYBILL_CONFIG"] = str(tmp_path / "waybill.yaml")

    def call(*words: str) -> Result:
        return CliRunner(env=environ).invoke(rules, words)

    return call


def write(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return [str(folder / f"{name}.yaml") for name in files]


def test_check_prints_the_error_of_each_file(run: Run, tmp_path: Path) -> None:
    bad = "- {id: x, type: customer, when: {field: %s, op: exists}}"
    files = write(tmp_path, good=ONE, first=bad % "emial", second=bad % "nothing")
    result = run("check", *files)
    assert result.exit_code == 2
    assert "first.yaml:1: rule x: rules[0].when.field: no field 'emial'. Fix: did you mean email?" in result.stderr
    assert "second.yaml:1: rule x: rules[0].when.field: no field 'nothing'" in result.stderr
    assert "second.yaml:1: rule x: rules[0].id: the rule id x is also used in" in result.stderr
    assert result.stderr.endswith("waybill: 3 errors found\n")
    assert run("check", files[0]).stdout == f"{files[0]}: 1 rule, no errors\n"


def test_check_rejects_an_id_in_two_files(run: Run, tmp_path: Path) -> None:
    result = run("check", *write(tmp_path, a=ONE, b=ONE))
    assert (result.exit_code, "also used in" in result.stderr) == (2, True)


def test_apply_reports_all_mistakes_and_publishes_nothing(run: Run, tmp_path: Path) -> None:
    bad = "- {id: %s, type: customer, when: {field: nope, op: exists}}"
    files = write(tmp_path, a=bad % "x", b=ONE, c=bad % "y")
    for command in ("apply", "plan"):
        result = run(command, *files, "-o", "json")
        assert result.exit_code == 2
        mistakes = json.loads(result.stdout)["mistakes"]
        found = [(Path(each["file"]).name, each["rule_id"], each["path"]) for each in mistakes]
        assert found == [("a.yaml", "x", "rules[0].when.field"), ("c.yaml", "y", "rules[0].when.field")]
        assert result.stderr == "waybill: 2 errors found\n"
    text = run("apply", *files).stderr
    assert "c.yaml:1: rule y: rules[0].when.field: no field 'nope'" in text
    assert run("apply", *files, "-o", "github").stdout.startswith("::error file=")
    results = json.loads(run("apply", *files, "-o", "sarif").stdout)["runs"][0]["results"]
    assert [each["properties"]["rule_id"] for each in results] == ["x", "y"]
    assert run("show").exit_code == 2


def test_mistakes_of_all_parts_of_a_rule_are_reported_together(run: Run, tmp_path: Path) -> None:
    (file,) = write(
        tmp_path,
        a="""
- id: one
  type: purchase_order
  with: {a: {kind: customer, id: "{b.id}"}, b: {kind: customer, id: "{a.id}"}}
  when: {all: [{field: a.email, op: exists}, {field: created_at, op: le, value: 3}]}
  actions:
    - {id: x, do: htp, text: "{a.email}"}
    - {id: y, do: log, message: {id}}
    - {id: z, do: http, url: "https://u:p@x.example/{id | upper}", headers: {Authorization: Bearer abcdefgh}}
- {id: two, type: customer, when: {field: emial, op: exists}}
""",
    )
    found = json.loads(run("check", file, "--json").stdout)["mistakes"]
    assert [(each["rule_id"], each["path"], each["line"]) for each in found] == [
        ("one", "rules[0].actions[1].message", 8),
        ("one", "rules[0].with.a.id", 4),
        ("one", "rules[0].with.b.id", 4),
        ("one", "rules[0].when.all[1].op", 5),
        ("one", "rules[0].actions[0].do", 7),
        ("one", "rules[0].actions[2].url", 9),
        ("one", "rules[0].actions[2].headers.Authorization", 9),
        ("two", "rules[1].when.field", 10),
    ]
    assert found[3]["fix"] == "write op: before"


async def test_apply_reports_a_rule_that_exists_in_the_admin_api(run: Run, store: Store, tmp_path: Path) -> None:
    document = write_document((), rules_of(TWO))
    assert await store.rulebook.publish(document_version(document), document, "api", "", None)
    (file,) = write(tmp_path, a=TWO)
    result = await asyncio.to_thread(run, "apply", file, "-o", "json")
    (mistake,) = json.loads(result.stdout)["mistakes"]
    assert (result.exit_code, mistake["reason"]) == (2, "exists in a file and in the admin API")


def test_a_missing_rulebook_is_reported_with_the_fix(run: Run) -> None:
    for words in (["show"], ["list"]):
        result = run(*words)
        assert (result.exit_code, "waybill rules apply" in result.stderr) == (2, True)


def test_apply_activates_the_rules_and_a_second_apply_changes_nothing(run: Run, tmp_path: Path) -> None:
    files = write(tmp_path, a=ONE, b=TWO)
    first = run("apply", *files, "--note", "a start")
    assert first.exit_code == 0, first.stderr
    version = document_version(write_document(rules_of(ONE + TWO)))
    assert first.stdout == f"{version} activated, 2 rules\n"
    assert run("apply", *files).stdout == f"{version} already active, 2 rules\n"
    entry = json.loads(run("history", "-o", "json").stdout)
    assert (entry["version"], entry["author"], entry["note"]) == (version, "ann", "a start")
    assert run("history").stdout.startswith(f"version\tat\tauthor\tnote\n{version}\t20")


def test_the_active_rules_are_listed_and_shown(run: Run, tmp_path: Path) -> None:
    run("apply", *write(tmp_path, a=ONE, b=TWO), "--author", "ops")
    assert run("list").stdout.splitlines() == [
        "sort\tid\ttype\tenabled\tevents\tsources\tfrom\tname",
        "1\ttwo\tcustomer\tdisabled\tall events\tshop\tfile\t",
        "2\tone\tpurchase_order\tenabled\tcreated\tall sources\tfile\tThe first",
    ]
    assert [json.loads(row)["id"] for row in run("list", "-o", "json").stdout.splitlines()] == ["two", "one"]
    shown = json.loads(run("show", "-o", "json").stdout)
    assert [rule["id"] for rule in shown["rules"]] == ["one", "two"]
    text = run("show", "two").stdout
    assert text.startswith(f"# version {shown['version']}\n- ")
    assert rules_of(text) == rules_of(TWO)
    unknown = run("show", "three")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "has no such rule. Fix: run waybill rules list" in unknown.stderr


def test_apply_without_files_uses_the_rules_of_waybill_yaml_and_checks_their_sources(run: Run, tmp_path: Path) -> None:
    (tmp_path / "waybill.yaml").write_text(CONFIG)
    (tmp_path / "rules").mkdir()
    write(tmp_path / "rules", a=TWO)
    result = run("apply")
    assert result.exit_code == 0, result.exception
    assert "1 rule," in run("check").stdout
    write(tmp_path / "rules", b=ONE.replace("sort: 2", "sources: [shpo]"))
    assert "did you mean shop?" in run("apply").stderr


async def test_apply_keeps_rules_of_the_admin_api(store: Store) -> None:
    document = write_document(rules_of(ONE), rules_of(TWO))
    assert await store.rulebook.publish(document_version(document), document, "api", "", None)
    third = rules_of(ONE.replace("one", "three"))
    published = await publish_file_rules([store.rulebook], third, load_rulebook, "ops", "")
    assert (published.rules, published.changed) == (2, True)
    current = await store.rulebook.current()
    assert current is not None
    parsed = parse_document(current[1])
    assert ([rule.id for rule in parsed.file_rules], [rule.id for rule in parsed.api_rules]) == (["three"], ["two"])
    assert Rulebook.load(current[1], load_actions()).version == current[0] == published.version
    with pytest.raises(ConfigError, match=r"rule two: exists in a file and in the admin API. Fix: delete"):
        await publish_file_rules([store.rulebook], rules_of(TWO), load_rulebook, "ops", "")


async def test_an_active_version_of_an_unknown_format_is_not_overwritten(store: Store) -> None:
    assert await store.rulebook.publish("v9", b'{"format": 9}', "future", "", None)
    with pytest.raises(ConfigError, match="active rulebook: format 9 is not supported"):
        await publish_file_rules([store.rulebook], rules_of(ONE), load_rulebook, "ops", "")


class ContendedRulebookStore(RulebookStore):
    """Store in which another client publishes before each of the first `others` publications."""

    others = 0

    async def publish(self, version: str, document: bytes, author: str, note: str, expected: str | None) -> bool:
        if self.others:
            self.others -= 1
            other = write_document((), rules_of(f"- {{id: api{self.others}, type: customer}}"))
            assert await super().publish(document_version(other), other, "else", "", expected)
        return await super().publish(version, document, author, note, expected)


@pytest.mark.parametrize(
    ("others", "succeeds"),
    [
        (1, True),
        pytest.param(PUBLISH_ATTEMPTS_MAX - 1, True, marks=pytest.mark.slow),
        pytest.param(PUBLISH_ATTEMPTS_MAX, False, marks=pytest.mark.slow),
    ],
)
async def test_rules_of_a_concurrent_publication_are_kept(store: Store, others: int, succeeds: bool) -> None:  # noqa: FBT001
    rulebooks = ContendedRulebookStore(store.client, store.keys, store.settings)
    rulebooks.others = others
    if not succeeds:
        with pytest.raises(StoreUnavailable, match="rules are being published concurrently"):
            await publish_file_rules([rulebooks], rules_of(ONE), load_rulebook, "ops", "")
        return
    await publish_file_rules([rulebooks], rules_of(ONE), load_rulebook, "ops", "")
    current = await store.rulebook.current()
    assert current is not None
    assert [rule.id for rule in parse_document(current[1]).rules] == ["one", "api0"]


RECORDS_CONFIG = """
records: {order: {fields: {status: {enum: [open, paid]}}}}
platforms: {pack: {kind: pack_cloud, organization_id: o, token: {env: UNSET}}}
sources: {shop: {platform: pack, verify: {scheme: basic, username: till, password: {file: /unset}}}}
destinations: {erp: {url: {env: UNSET}, auth: {type: bearer, token: {env: UNSET}}}}
rules: [rules/*.yaml]
"""
RULE_TEST = "- {name: n, type: purchase_order, platform: pack, raw: {id: '1'}, expect: {matches: []}}"
ORDER = "- {id: three, type: order, when: {field: status, op: eq, value: %s}}\n"
PURCHASE_ORDER = "- {id: four, type: purchase_order, when: {field: status, op: eq, value: recieved}}\n"


def test_rules_are_checked_completely_without_the_secrets_of_waybill_yaml(run: Run, tmp_path: Path) -> None:
    (tmp_path / "waybill.yaml").write_text(RECORDS_CONFIG)
    (tmp_path / "rules").mkdir()
    file = write(tmp_path / "rules", a=ORDER % "paid" + ONE)[0]
    assert run("check").exit_code == 0, run("check").stderr
    assert (run("check", file).exit_code, run("check", file).stderr) == (0, "")
    write(tmp_path / "rules", **{"a.examples": RULE_TEST})
    assert run("test").stdout.startswith("ok     n\n1 test, 0 failed\n")
    send = "actions: [{id: a, do: http, destination: epr}]"
    write(tmp_path / "rules", a=ORDER % "piad" + PURCHASE_ORDER + ONE.replace("events: [created]", send))
    for words in ((), (file,)):
        result = run("check", *words)
        assert (result.exit_code, "UNSET" in result.stderr) == (2, False)
        assert "did you mean paid?" in result.stderr
        assert "did you mean received?" in result.stderr
    assert "did you mean erp?" in run("check").stderr


def test_values_of_a_declared_kind_are_checked_beside_other_mistakes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "waybill.yaml").write_text(RECORDS_CONFIG.replace("pack_cloud", "pack_clod"))
    (tmp_path / "rules").mkdir()
    write(tmp_path / "rules", a=ORDER % "piad")
    result = run("check")
    assert "did you mean pack_cloud?" in result.stderr
    assert "did you mean paid?" in result.stderr
    assert result.stderr.endswith("waybill: 2 errors found\n")


def test_a_mistake_in_one_entry_of_with_hides_no_other(run: Run, tmp_path: Path) -> None:
    wrong = "a: {kind: customer, id: x, each: lines, elements_max: 51}, b: {kind: nothing, id: x}"
    result = run("check", *write(tmp_path, a=ONE.replace("events: [created]", f"with: {{{wrong}}}")))
    assert "with.a.elements_max: Expected `int` <= 50" in result.stderr
    assert "with.b.kind: no record kind 'nothing'" in result.stderr
