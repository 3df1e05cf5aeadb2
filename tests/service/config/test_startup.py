"""Startup from waybill.yaml: warnings in the log, and retention at least as long as the dedupe windows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from service.config import Config
from service.config.startup import extend_retention_to_dedupe_windows, log_config_warnings
from service.configuration import load_config
from service.log import configure
from service.settings import Settings

PACK = {"kind": "pack_cloud", "organization_id": "org_1", "token": {"env": "T"}}
OFN = {"kind": "open_food_network", "base_url": "https://ofn.example.org", "token": {"env": "T"}}


def test_each_warning_is_a_log_line_with_path_and_without_secrets(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    platform = {"kind": "open_food_network", "base_url": "https://ofn.example.org", "token": {"env": "S"}}
    unverified = {"platform": "ofn", "verify": {"scheme": "none"}, "allow_unverified": True}
    short = {"platform": "ofn", "verify": {"scheme": "path_token", "secrets": [{"env": "S"}]}}
    path = tmp_path / "waybill.yaml"
    path.write_text(json.dumps({"platforms": {"ofn": platform}, "sources": {"open": unverified, "short": short}}))
    configure("service")
    log_config_warnings(load_config(path, {"S": "hush-hush"}))
    written = capfd.readouterr().out
    lines = [json.loads(line) for line in written.splitlines()]
    assert [(line["message"], line["level"]) for line in lines] == [("config.warning", "warning")] * 2
    assert [line["reason"].split(":")[0] for line in lines] == ["sources.open.verify", "sources.short.verify"]
    assert "hush" not in written


@pytest.mark.parametrize(("command", "component"), [("serve", "service"), ("worker", "workers")])
@pytest.mark.slow
def test_warnings_are_logged_before_the_store_is_connected(
    command: str, component: str, tmp_path: Path, free_port: int
) -> None:
    platform = {"kind": "open_food_network", "base_url": "https://ofn.example.org", "token": {"env": "S"}}
    source = {"platform": "ofn", "verify": {"scheme": "none"}, "allow_unverified": True}
    path = tmp_path / "waybill.yaml"
    path.write_text(json.dumps({"platforms": {"ofn": platform}, "sources": {"open": source}}))
    unreachable = f"redis://127.0.0.1:{free_port}/0"
    environ = os.environ | {"WAYBILL_CONFIG": str(path), "WAYBILL_REDIS_URL": unreachable, "S": "hush-hush"}
    ports = {"WAYBILL_HOST": "127.0.0.1", "WAYBILL_PORT": "0", "WAYBILL_ADMIN_PORT": "0"}
    pod = subprocess.Popen(
        [sys.executable, "-m", "service", command], env=environ | ports, stdout=subprocess.PIPE, text=True
    )
    try:
        assert pod.stdout is not None
        first = json.loads(pod.stdout.readline())
    finally:
        pod.kill()
        pod.communicate()
    assert (first["message"], first["level"], first["component"]) == ("config.warning", "warning", component)
    assert first["reason"].startswith("sources.open.verify:")


def config(folder: Path, platform: dict[str, object], **source: object) -> Config:
    verify = {"scheme": "basic", "username": "u", "password": {"env": "T"}}
    source = {"platform": "p", "verify": verify, "envelope": "platform", **source}
    return load(folder, {"platforms": {"p": platform}, "sources": {"s": source}})


def load(folder: Path, written: dict[str, object]) -> Config:
    path = folder / "waybill.yaml"
    path.write_text(json.dumps(written))
    return load_config(path, {"T": "made-up-secret-of-some-length"})


@pytest.mark.parametrize(
    ("platform", "source", "values", "days"),
    [
        (PACK, {}, {}, 3),
        (OFN, {}, {}, 21),
        (PACK, {"dedupe_hours": 24 * 30}, {}, 30),
        (OFN, {"dedupe_hours": 24}, {}, 3),
        (PACK, {}, {"dedupe_hours": 24.0 * 40}, 40),
        (OFN, {}, {"decision_retention_days": 90.0}, 90),
    ],
)
def test_decisions_are_kept_as_long_as_the_longest_dedupe_window(
    tmp_path: Path, platform: dict[str, object], source: dict[str, object], values: dict[str, float], days: float
) -> None:
    settings = structs.replace(Settings(), **values)
    assert (
        extend_retention_to_dedupe_windows(settings, config(tmp_path, platform, **source)).decision_retention_days
        == days
    )
