"""Decisions, and the ledgers in them, outlive every claim."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from service.config import Config, load_config
from service.config.retention import extend_retention_to_dedupe_windows
from service.settings import Settings

PACK = {"kind": "pack_cloud", "organization_id": "org_1", "token": {"env": "T"}}
OFN = {"kind": "open_food_network", "base_url": "https://ofn.example.org", "token": {"env": "T"}}


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
        (PACK, {}, {}, 14),
        (OFN, {}, {}, 21),
        (PACK, {"dedupe_hours": 24 * 30}, {}, 30),
        (OFN, {"dedupe_hours": 24}, {}, 14),
        (PACK, {}, {"dedupe_hours": 24.0 * 40}, 40),
        (OFN, {}, {"decision_retention_days": 90.0}, 90),
    ],
)
def test_decisions_are_kept_as_long_as_the_longest_claim(
    tmp_path: Path, platform: dict[str, object], source: dict[str, object], values: dict[str, float], days: float
) -> None:
    settings = structs.replace(Settings(), **values)
    assert (
        extend_retention_to_dedupe_windows(settings, config(tmp_path, platform, **source)).decision_retention_days
        == days
    )
