"""Runs the commands of pages about systems of the reader, beside one `waybill dev` with their files.

A shop that answers as WooCommerce, the systems of the look-ups, and the sandbox replace the hosts on the pages.
"""

import asyncio
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from msgspec import Struct

from tests.docs.forked_commands import forked_commands
from tests.docs.page_steps import DOCS
from tests.free_ports import find_adjacent_ports
from tests.service.platforms.custom.test_woocommerce import EXAMPLE, SECRETS, Shop, order
from tests.test_docs_how_to import at_sandbox
from tests.test_readme_quickstart import ID, SECONDS_MAX, first_terminal
from tests.workers import lookup_systems

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(900)]

SHOP, ALARMS = "tutorials/custom-platform.md", "how-to/act-on-events-without-a-platform.md"
CREDENTIAL, MESSAGES = "how-to/call-an-api-with-a-credential.md", "how-to/send-to-slack-or-email.md"
LOOKUPS = "how-to/look-up-further-records.md"
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
ALREADY_RUN = {"waybill check", "waybill rules apply"}
"""Commands that the first test, or `waybill dev`, runs on the same files."""
ACTIVATE = ". .venv/bin/activate\n"


class Systems(Struct):
    """The shop and the business systems, and the files and ports of the `waybill dev` that uses them."""

    shop: Shop
    folder: Path
    environ: dict[str, str]

    def run(self, command: str, until: str = "") -> str:
        """Run a command of a page, repeated until its output contains a text, and return the output."""
        port, admin_port = re.findall(r"^(?:webhooks|admin) +http://127\.0\.0\.1:(\d+)", self.out, re.MULTILINE)
        for documented, actual in (("8080", port), ("8081", admin_port)):
            command = command.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{actual}")
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            done = subprocess.run(
                ["/bin/sh", "-c", ACTIVATE + command],
                cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            if until in done.stdout:
                return done.stdout
            assert time.monotonic() < deadline, (command, done.stdout)
            time.sleep(0.2)

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in a language, without the indentation of a list."""
    found = [(len(indent), text) for indent, kind, text in BLOCK.findall((DOCS / page).read_text()) if kind == language]
    return ["".join(line[indent:] for line in text.splitlines(keepends=True)) for indent, text in found]


def shell(page: str) -> list[str]:
    """Return the commands in the shell blocks of a page."""
    return [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Shop, str, str]]:
    """Run the shop and the business systems in a thread."""
    shop, systems = Shop(), lookup_systems.BusinessSystems()
    # The order was saved in the shop before its event is sent. The worker waits a minute for a newer version otherwise.
    saved = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    shop.orders[7] = order(7, saved, total="1294.00")
    business = web.Application()
    business.router.add_get("/{path:.*}", systems.answer)
    loop = asyncio.new_event_loop()
    runners = [web.AppRunner(app) for app in (shop.app(), business)]

    async def start() -> list[str]:
        urls: list[str] = []
        for runner in runners:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        return urls

    shop_url, business_url = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield shop, shop_url, business_url
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    for runner in runners:
        loop.run_until_complete(runner.cleanup())
    loop.close()


@pytest.fixture(scope="module")
def systems(servers: tuple[Shop, str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systems]:
    shop, shop_url, business_url = servers
    folder = tmp_path_factory.mktemp("own-systems")
    sandbox_port, mail_port = find_adjacent_ports()
    sandbox = f"http://127.0.0.1:{sandbox_port}"
    hosts = {
        "https://shop.example.com": shop_url,
        "https://erp.example.com/api": f"{business_url}/api",
        "https://wms.example.com": business_url,
        "https://erp.example.com": f"{sandbox}/_sandbox/sink",
    }
    write_files(folder, hosts, sandbox, mail_port)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", **SECRETS, **lookup_systems.SECRETS}
    environ |= {"ALARMS_TOKEN": "alarms-token-0123456789", "MAIL_PASSWORD": "p"}
    environ |= {"SLACK_URL": f"{sandbox}/_sandbox/slack/x", "TEAMS_URL": f"{sandbox}/_sandbox/teams/x"}
    (start,) = (line for line in commands(SHOP) if line.startswith("waybill dev"))
    options = f" --port 0 --admin-port 0 --sandbox-port {sandbox_port}"
    with forked_commands(folder), first_terminal(f"{ACTIVATE}exec {start}{options}", folder, environ):
        yield Systems(shop, folder, environ)


def write_files(folder: Path, hosts: dict[str, str], sandbox: str, mail_port: int) -> None:
    """Write one waybill.yaml with the parts of all pages, their rules and their rule tests."""
    config: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    texts = [(lookup_systems.FOLDER / "waybill.yaml").read_text()]
    texts += [blocks(page, "yaml")[0] for page in (ALARMS, CREDENTIAL, MESSAGES)]
    for text in texts:
        parts = yaml.safe_load(text) | {"rules": {}}
        config |= {section: {**config.get(section, {}), **values} for section, values in parts.items()}
    named = config["destinations"]
    config |= {
        "destinations": {name: _local(each, sandbox, mail_port) for name, each in named.items()},
        "rules": ["rules/*.yaml"],
        "outbound": {"allow_private_hosts": ["127.0.0.1"]},
    }
    files = {
        "waybill.yaml": yaml.safe_dump(config),
        "rules/shop.yaml": blocks(SHOP, "yaml")[-1],
        "rules/alarms.yaml": blocks(ALARMS, "yaml")[1],
        "rules/alarms.examples.yaml": blocks(ALARMS, "yaml")[2],
        "rules/claims.yaml": blocks(CREDENTIAL, "yaml")[1],
        "rules/messages.yaml": blocks(MESSAGES, "yaml")[1],
    }
    # The rules of each page concern its own source, so that the tests of the look-ups do not see the others.
    for name in ("shop", "claims", "messages"):
        rule = files[f"rules/{name}.yaml"]
        files[f"rules/{name}.yaml"] = rule.replace("\n  type: ", "\n  sources: [shop-orders]\n  type: ")
    for path in lookup_systems.FOLDER.glob("orders*.yaml"):
        # On the page the account of the orders has the suppliers: with a shop beside it, the rule names the account.
        files[f"rules/{path.name}"] = path.read_text().replace(
            "{kind: supplier, id:", "{platform: erp, kind: supplier, id:"
        )
    (folder / "rules").mkdir()
    pattern = re.compile("|".join(map(re.escape, hosts)))
    for name, text in files.items():
        (folder / name).write_text(pattern.sub(lambda match: hosts[match[0]], text))


def _local(written: dict[str, Any], sandbox: str, mail_port: int) -> dict[str, Any]:
    local = at_sandbox(written, sandbox, mail_port)
    # The addresses of messages are secrets, so that waybill.yaml refers to variables.
    return {**local, "url": written["url"]} if local["kind"] in {"slack", "teams"} else local


def commands(page: str) -> list[str]:
    """Return the commands of the terminals of a page."""
    return re.findall(r"^\$ (.+)$", "".join(blocks(page, "console")), re.MULTILINE)


@pytest.mark.long(seconds=6)
def test_the_tutorial_of_a_custom_platform_runs(systems: Systems) -> None:
    listed = [line for line in commands(SHOP) if line.split()[:2] != ["waybill", "dev"] and "export" not in line]
    outputs: dict[str, str] = {}
    # The write by hand is last, and a terminal asks for its confirmation.
    for command in sorted(listed, key=lambda line: "platforms write" in line):
        until = "matched" if "list" in command.split() and "events" in command else ""
        event_id = next((ID.findall(output)[0] for line, output in outputs.items() if " send " in line), "")
        outputs[command] = systems.run(ID.sub(event_id, command.replace("write ", "write --yes ")), until)
    explained = next(output for command, output in outputs.items() if "explain" in command)
    assert "large-order matched" in explained
    assert "1294.00" in next(output for command, output in outputs.items() if "--as-test" in command)
    assert systems.shop.notes == [(7, "1294.00 EUR: check the payment", False), (7, "Held by the warehouse", False)]


def test_the_commands_of_the_how_to_pages_run(systems: Systems) -> None:
    listed = [command for page in (ALARMS, CREDENTIAL, MESSAGES, LOOKUPS) for command in shell(page)]
    assert len(listed) == 13
    # A command that several pages name runs once, since all pages have the same files here.
    outputs = {
        command: systems.run(command, "matched" if "events list" in command else "")
        for command in dict.fromkeys(listed)
        if command not in ALREADY_RUN
    }
    tested = [output for command, output in outputs.items() if "destinations test" in command]
    assert len(tested) == 4
    looked_up = next(output for command, output in outputs.items() if "dry-run" in command)
    assert "risky-supplier" in looked_up
    assert "matched" in looked_up
