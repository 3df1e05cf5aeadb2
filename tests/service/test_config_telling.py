"""Warnings of waybill.yaml in the log of a process that starts."""

import json
from pathlib import Path

import pytest

from service.config import load_config
from service.config.telling import tell_warnings
from service.log import configure


def test_each_warning_is_a_line_that_names_its_path_and_no_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    platform = {"kind": "open_food_network", "base_url": "https://ofn.example.org", "token": {"env": "S"}}
    open_door = {"platform": "ofn", "verify": {"scheme": "none"}, "allow_unverified": True}
    short = {"platform": "ofn", "verify": {"scheme": "path_token", "secrets": [{"env": "S"}]}}
    path = tmp_path / "waybill.yaml"
    path.write_text(json.dumps({"platforms": {"ofn": platform}, "sources": {"open": open_door, "short": short}}))
    configure("service")
    tell_warnings(load_config(path, {"S": "hush-hush"}))
    written = capfd.readouterr().out
    lines = [json.loads(line) for line in written.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("config.warned", "warning")] * 2
    assert [line["reason"].split(":")[0] for line in lines] == ["sources.open.verify", "sources.short.verify"]
    assert "hush" not in written
