"""Every command that prints data prints JSON with `-o json` and with `--json`: one value per line."""

import json
from pathlib import Path

import pytest

from tests.service.cli.conftest import CONFIG, PUBLIC, Run, SampleInstallation
from tests.service.cli.test_all_commands import COMMANDS, WITHOUT_JSON

pytestmark = [pytest.mark.store, pytest.mark.slow]

WORDS = {
    "check": "",
    "dead-letters discard": "--all --reason why --dry-run",
    "dead-letters list": "",
    "dead-letters replay": "--all --dry-run",
    "dead-letters show": "DEAD",
    "destinations list": "",
    "destinations pause": "127.0.0.1:9",
    "destinations resume": "127.0.0.1:9",
    "destinations show": "127.0.0.1:9",
    "destinations test": "nothing",
    "doctor": "",
    "erase-customer": "pack:customer:77 --dry-run",
    "events list": "",
    "events replay": "ENDED",
    "events search": "po-2",
    "events show": "ENDED",
    "explain": "ENDED",
    "open": "",
    "platforms get": "pack rule.list",
    "platforms list": "",
    "platforms pause": "pack",
    "platforms resume": "pack",
    "platforms write": "pack webhook.create --body WEBHOOK --yes",
    "polls": "",
    "quarantine diagnose": "QUARANTINED",
    "quarantine list": "",
    "quarantine release": "QUARANTINED",
    "quarantine reverify": "QUARANTINED",
    "quarantine show": "QUARANTINED",
    "quarantine delete": "QUARANTINED",
    "rules apply": "RULES",
    "rules check": "RULES",
    "rules diff": "FIRST",
    "rules dry-run": "--event ENDED",
    "rules export": "",
    "rules history": "",
    "rules list": "",
    "rules plan": "RULES --last 0",
    "rules rollback": "FIRST",
    "rules schema": "",
    "rules show": "",
    "rules stats": "",
    "rules status": "",
    "rules test": "TESTS --rules RULES",
    "send": "pack-orders --event purchase_order.updated --url http://127.0.0.1:9",
    "sources": "",
    "sources presets": "",
    "sources show": "shopify",
    "status": "",
    "store": "--no-memory",
    "store accept": "",
    "workers": "",
}
"""Arguments of each command. The order of the keys is that of the calls."""

WITHOUT_DATA = frozenset({"destinations test", "polls", "store accept"})
"""Commands that have nothing to print: no destination, no poll, and no lost store."""

ENDLESS = frozenset({"tail"})
"""Commands that run until Ctrl-C; other tests read their output."""

RULES = "- {id: any-order, type: purchase_order, actions: [{id: note, do: log, message: hello}]}\n"
WEBHOOK = '{"event_code": "x", "endpoint": "https://example.com", "secret": "y"}'
TESTS = "- {name: fires, type: purchase_order, record: {id: po-1}, expect: {matches: [any-order]}}\n"


def test_every_command_has_an_example() -> None:
    assert WORDS.keys() == COMMANDS.keys() - WITHOUT_JSON.keys() - ENDLESS


@pytest.fixture
def words_of(installation: SampleInstallation, config_path: Path, tmp_path: Path) -> dict[str, list[str]]:
    """Return the words of each call, for a configuration whose platforms are those of the sandbox."""
    platform = installation.harness.sandbox.base_url("pack_cloud").removesuffix("/pack_cloud/v1")
    config_path.write_text(CONFIG.format(box=platform, public=PUBLIC))
    files = {"RULES": tmp_path / "any.yaml", "TESTS": tmp_path / "any.examples.yaml"}
    files["RULES"].write_text(RULES)
    files["TESTS"].write_text(TESTS)
    ids = {name: getattr(installation, name.lower()) for name in ("DEAD", "ENDED", "QUARANTINED", "FIRST")}
    values = {name: str(path) for name, path in files.items()} | ids | {"WEBHOOK": WEBHOOK}
    return {path: [values.get(word, word) for word in f"{path} {words}".split()] for path, words in WORDS.items()}


@pytest.mark.parametrize("option", ["-o json", "--json"])
async def test_every_command_prints_one_json_value_per_line(
    option: str, installation: SampleInstallation, run: Run, words_of: dict[str, list[str]]
) -> None:
    silent: dict[str, str] = {}
    for path, words in words_of.items():
        result = await run(*words, *option.split(), API=installation.harness.sandbox.token)
        assert "Traceback" not in result.output, path
        for line in result.stdout.splitlines():
            json.loads(line)
        if not result.stdout:
            silent[path] = result.output
    assert silent.keys() == WITHOUT_DATA, silent
