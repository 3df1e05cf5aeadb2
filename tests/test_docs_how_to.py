"""How-to pages about destinations: their waybill.yaml and rules are loaded, and their actions run at the sandbox."""

import re
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from aiosmtpd.handlers import Message

from service.actions import load_actions
from service.destinations.registry import CONFIG_TYPE, DESTINATION_KINDS
from service.http_client import HttpClient
from service.rules import Rulebook, check_destinations, write_document
from service.sandbox.server import SandboxHandle, running_sandbox
from service.settings import Settings
from tests.service.rules.rule_samples import NOW, line, order, rules_of, subject
from tests.workers.actions.action_runs import Context, destinations
from tests.workers.mail_server import MailServer

FOLDER = Path(__file__).parents[1] / "docs/how-to"
BLOCK = re.compile(r"^( *)```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SECRETS = {"ERP_TOKEN": "t", "MAIL_PASSWORD": "p", "SLACK_URL": "https://a.test/x", "TEAMS_URL": "https://a.test/y"}


class Mails(Message):
    """Handler of a mail server: keeps the subjects."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects: list[str] = []

    def handle_message(self, message: Any) -> None:
        self.subjects.append(str(message["Subject"]))


@pytest.fixture
async def box() -> AsyncIterator[SandboxHandle]:
    async with running_sandbox() as handle:
        yield handle


@pytest.mark.parametrize("page", ["call-an-api-with-a-credential.md", "send-to-slack-or-email.md"])
async def test_examples_of_a_page_run(page: str, box: SandboxHandle, free_port: int) -> None:
    config, text = (textwrap.dedent(block) for _, block in BLOCK.findall((FOLDER / page).read_text()))
    written: dict[str, Any] = yaml.safe_load(config)["destinations"]
    configs = {name: msgspec.convert({"kind": "http", **each}, CONFIG_TYPE) for name, each in written.items()}
    assert [list(each.check(name, SECRETS)) for name, each in configs.items()] == [[]] * len(configs)
    (rule,) = rules_of(text)
    assert list(check_destinations(configs, rule, "rule")) == []
    effects = (
        Rulebook.load(write_document([rule]), load_actions()).evaluate(subject(order(lines=[line(5, 2)])), NOW).effects
    )
    actions = {str(action.__struct_config__.tag): action for action in load_actions()}
    mails = Mails()
    server = MailServer(mails, hostname="127.0.0.1", port=free_port)
    server.start()
    try:
        async with HttpClient(Settings()) as client:
            local = {name: at_sandbox(each, box.url, free_port) for name, each in written.items()}
            made = destinations(client, None, SECRETS, **local)
            context = Context({"outbound": client, "action_timeout_seconds": 20.0, "destinations": made})
            for effect in effects:
                await actions[effect.action_type].run(effect.inputs, context)
    finally:
        server.stop()
    sent = box.sandbox.sink.count + len(mails.subjects)
    assert (len(effects), sent) == (len(rule.actions), len(rule.actions))


def at_sandbox(written: dict[str, Any], url: str, port: int) -> dict[str, Any]:
    """Return a destination of a page with the address of the sandbox, or of the mail server of the test."""
    kind = written.get("kind", "http")
    assert kind in DESTINATION_KINDS
    if kind == "email":
        kept = {name: value for name, value in written.items() if name not in {"username", "password"}}
        return {**kept, "host": "127.0.0.1", "port": port, "security": "none"}
    path = {"http": "sink/x", "slack": "slack/x", "teams": "teams/x"}[kind]
    return {"kind": kind, **written, "url": f"{url}/_sandbox/{path}", "allow_private_host": True}
