"""The example package of a custom action, installed into a scratch venv, with a rule run by real processes."""

import json
import os
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from service.dev.demo_scenario import changed_order, purchase_order
from service.dev.demo_senders import call, send
from service.dev.sandbox_client import SandboxClient
from service.dev.stack import Stack, open_stack
from service.dev.workspace import make_workspace

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parents[2] / "docs" / "examples" / "custom-action"
INSTALL_TIMEOUT_SECONDS = 60
ATTEMPT_TIMEOUT_SECONDS = 20


def run(*command: str | Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_SECONDS, check=False
    )


@pytest.fixture
def scratch_python(tmp_path: Path) -> Path:
    """Create a venv with the example package that also sees the packages of the venv of this test."""
    venv = tmp_path / "venv"
    created = run(sys.executable, "-m", "venv", "--without-pip", venv)
    assert created.returncode == 0, created.stderr
    python = venv / "bin" / "python"
    (packages,) = venv.glob("lib/python*/site-packages")
    shared = [path for path in site.getsitepackages() if Path(path).is_dir()]
    lines = [f"import site; site.addsitedir({path!r})" for path in shared]
    (packages / "shared.pth").write_text("\n".join(lines) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install"]
    installed = run(*pip, "--quiet", "--no-build-isolation", "--no-deps", "--no-index", PACKAGE)
    assert installed.returncode == 0, installed.stderr
    assert (packages / "waybill_xml_action" / "__init__.py").is_file()
    return python


@pytest.fixture
def stack(scratch_python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Start store, sandbox and ingress; every process runs in the scratch venv."""
    monkeypatch.setattr(sys, "executable", str(scratch_python))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
    # The path of a unix socket has at most 107 bytes; `tmp_path` can be longer.
    with (
        tempfile.TemporaryDirectory(prefix="wb-") as directory,
        open_stack(make_workspace(Path(directory)), environ, {"port": "0", "admin_port": "0"}) as opened,
    ):
        yield opened


def write_rules(stack: Stack) -> Path:
    """Write the rule of the example with the sandbox in place of the ERP."""
    text = (PACKAGE / "rules.yaml").read_text()
    assert text.count("https://erp.example.com") == 1
    rules = stack.workspace.directory / "xml.yaml"
    rules.write_text(text.replace("https://erp.example.com", f"{stack.sandbox_url}/_sandbox/sink"))
    return rules


def waybill(python: str | Path, stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    return run(python, "-m", "service", *words, environ=stack.environ)


def sink_requests(stack: Stack) -> list[dict[str, Any]]:
    return call("GET", f"{stack.sandbox_url}/_sandbox/sink").body["requests"]


@pytest.mark.timeout(180)
def test_a_rule_with_the_action_of_an_installed_package_has_its_effect_once(stack: Stack, scratch_python: Path) -> None:
    rules = write_rules(stack)
    applied = waybill(scratch_python, stack, "rules", "apply", str(rules))
    assert applied.returncode == 0, applied.stderr
    worker = stack.start_worker("worker-1")
    SandboxClient(stack.sandbox_url).put_record(purchase_order("po-7", 100, 40))

    answer = send(stack.service_url, changed_order(stack.workspace.secrets, "po-7", "evt-1"))

    assert (answer.status, answer.body["status"]) == (202, "queued")
    event_id = answer.body["event_id"]
    line = worker.wait_for(lambda line: line.get("message") == "attempt.finished", ATTEMPT_TIMEOUT_SECONDS)
    assert (line["event_id"], line["outcome"]) == (event_id, "matched")

    shown = waybill(scratch_python, stack, "events", "show", event_id, "-o", "json")
    assert shown.returncode == 0, shown.stderr
    (effect,) = json.loads(shown.stdout)["effects"]
    assert (effect["rule_id"], effect["action_id"], effect["action_type"]) == ("short-receipt-xml", "claim", "xml")
    assert effect["state"] == "done"

    (request,) = sink_requests(stack)
    assert request["path"] == "/_sandbox/sink/claims"
    assert request["headers"]["content-type"] == "application/xml"
    assert request["headers"]["idempotency-key"] == f"{event_id}:short-receipt-xml:claim:0"
    assert request["headers"]["traceparent"].startswith("00-")
    document = ET.fromstring(request["body"])  # noqa: S314 - written by the action under test
    assert document.tag == "claim"
    assert {child.tag: child.text for child in document} == {"order": "po-7", "reference": "ORD-po-7", "missing": "60"}


@pytest.mark.timeout(180)
def test_without_the_package_the_rule_is_rejected() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
    checked = run(sys.executable, "-m", "service", "rules", "check", PACKAGE / "rules.yaml", environ=environ)
    assert checked.returncode != 0
    assert "no action 'xml'" in checked.stderr
