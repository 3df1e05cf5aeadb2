"""The files of docs/examples/local fit together and fit the code. No container is started."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from service.cli.check import check
from service.configuration import load_config
from service.settings import load_settings
from tests.helm.schema import CHART
from tests.test_docs_commands import find_mistake

FOLDER = Path(__file__).parents[1] / "docs/examples/local"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = {name: service for name, service in SERVICES.items() if service["image"] == "waybill:local"}
SERVICE_KEYS = {
    "image", "build", "command", "environment", "volumes", "ports", "depends_on", "healthcheck", "logging", "read_only",
    "cap_drop", "security_opt", "tmpfs", "stop_grace_period",
}  # fmt: skip
"""Keys of the Compose Specification that the file uses."""


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text())


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each.split(":")[0], each.split(":")[1]) for each in service.get("volumes", [])]


def test_services_volumes_and_files_exist() -> None:
    for name, service in SERVICES.items():
        assert set(service) <= SERVICE_KEYS, name
        assert set(service.get("depends_on", [])) <= SERVICES.keys(), name
        for source, _ in mounts(service):
            assert (FOLDER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], source
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert (FOLDER / OWN["service"]["build"]["context"] / OWN["service"]["build"]["dockerfile"]).exists()


@pytest.mark.parametrize("name", OWN)
def test_command_and_settings_are_those_of_waybill(name: str) -> None:
    settings = load_settings(OWN[name]["environment"])
    assert settings.redis_url == "redis://valkey:6379/0"
    assert find_mistake(shlex.join(["waybill", *OWN[name]["command"]])) is None


def test_configuration_and_rules_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = OWN["service"]["environment"]
    config = load_config(FOLDER / "waybill.yaml", environ)
    assert set(config.sources) == {"pack-orders"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    checked = CliRunner().invoke(check, ["--config", str(FOLDER / "waybill.yaml")])
    assert checked.exit_code == 0, checked.output
    hosts = set(
        re.findall(r"http://([a-z]+):8090", (FOLDER / "waybill.yaml").read_text() + (FOLDER / "rules.yaml").read_text())
    )
    assert hosts == {"sandbox"} <= OWN.keys()
    assert OWN["sandbox"]["command"][-1] == "8090"


def test_store_is_as_durable_as_the_default_setting_requires() -> None:
    words = SERVICES["valkey"]["command"].split()
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--maxmemory"] != "0"


def test_logs_reach_the_store_with_the_labels_of_the_dashboard() -> None:
    pipeline = load("fluent-bit.yaml")["pipeline"]
    (source,), (target,) = pipeline["inputs"], pipeline["outputs"]
    assert all(service["logging"]["driver"] == "fluentd" for service in OWN.values())
    assert OWN["worker"]["logging"]["options"]["fluentd-address"] == f"localhost:{source['port']}"
    assert f"127.0.0.1:{source['port']}:{source['port']}" in SERVICES["fluent-bit"]["ports"]
    assert target["host"] in SERVICES
    query = dict(part.split("=") for part in target["uri"].partition("?")[2].split("&"))
    assert query == {"_stream_fields": "namespace,app,component", "_msg_field": "message", "_time_field": "timestamp"}
    added = next(each["record"] for each in pipeline["filters"] if each["name"] == "record_modifier")
    board = (CHART / "dashboards/waybill-victorialogs.json").read_text()
    assert {label.split()[0] for label in added} == set(re.findall(r"[{,](\w+)=~?\\\"", board))


def test_grafana_has_the_boards_and_their_data_sources() -> None:
    types = {each["type"] for each in load("grafana-datasources.yaml")["datasources"]}
    (folder,) = (each["options"]["path"] for each in load("grafana-dashboards.yaml")["providers"])
    boards = [source for source, target in mounts(SERVICES["grafana"]) if target.startswith(f"{folder}/")]
    assert len(boards) == 2
    needed = {kind for board in boards for kind in re.findall(r'"query": "([\w-]+)"', (FOLDER / board).read_text())}
    assert types <= needed
    targets = dict(mounts(SERVICES["grafana"]))
    assert all(targets[f"./{name}"].startswith("/etc/grafana/provisioning/") for name in targets_of("grafana"))
    for each in load("grafana-datasources.yaml")["datasources"]:
        assert re.fullmatch(r"http://(\w+):\d+", each["url"])[1] in SERVICES  # type: ignore[index]


def targets_of(prefix: str) -> list[str]:
    return [path.name for path in FOLDER.glob(f"{prefix}-*.yaml")]


def test_prometheus_scrapes_both_processes_with_the_labels_of_the_alerts() -> None:
    (job,) = load("prometheus.yaml")["scrape_configs"]
    assert set(job["dns_sd_configs"][0]["names"]) <= OWN.keys()
    assert {each["target_label"] for each in job["relabel_configs"]} == {"namespace", "pod"}


@pytest.mark.slow
@pytest.mark.system_tool("promtool", package="prometheus")
def test_promtool_accepts_the_configuration_of_prometheus(tmp_path: Path) -> None:
    text = (
        (FOLDER / "prometheus.yaml")
        .read_text()
        .replace("/etc/prometheus/rules/*.yaml", str(CHART / "alerts/prometheus.yaml"))
    )
    (tmp_path / "prometheus.yml").write_text(text)
    done = subprocess.run(
        ["promtool", "check", "config", "--lint=none", tmp_path / "prometheus.yml"],  # noqa: S607 - the one on the path
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout
