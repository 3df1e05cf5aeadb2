"""Tests that every source of docs/reference/senders.md loads, and that its table of dedupe windows is correct."""

import base64
import hmac
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import Config
from service.configuration import load_config
from service.errors import Rejection
from service.events import Delivery
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.platforms.registry import build_platforms
from service.settings import Settings

PAGE = (Path(__file__).parents[1] / "docs/reference/senders.md").read_text()
BLOCKS: dict[str, Any] = yaml.load("".join(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)), yaml.CSafeLoader)
PLATFORMS: dict[str, Any] = {
    "pack": {"kind": "pack_cloud", "organization_id": "o", "token": {"env": "T"}},
    "engage": {"kind": "pexip_engage", "enterprise": "e", "client_id": {"env": "T"}, "client_secret": {"env": "T"}},
    "ofn": {"kind": "open_food_network", "base_url": "https://ofn.example.org", "token": {"env": "T"}},
    "flow": {"kind": "flow_retail", "tenant_uid": "t", "token": {"env": "T"}},
    "erp": {
        "kind": "custom",
        "base_url": "https://erp.example.com",
        "auth": {"type": "none"},
        "records": {"customer": {"path": "/customers/{id}"}, "purchase_order": {"path": "/orders/{id}"}},
    },
}
ENVIRON = dict.fromkeys(["T", *re.findall(r"env: (\w+)", PAGE)], "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") | {
    "ADYEN_KEY": "0f" * 32
}
ROWS: dict[str, str] = {
    "pack.cloud": "pack-orders",
    "Pexip Engage": "engage-appointments",
    "Open Food Network": "ofn-payments",
    "Flow Retail": "flow-till",
    "Shopify": "shopify-customers-update",
}
PRESETS = {"github", "shopify", "slack", "stripe", "svix"}
HOURS = {"h": 1, "days": 24}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "waybill.yaml"
    path.write_text(yaml.dump({"platforms": PLATFORMS, "sources": BLOCKS}, Dumper=yaml.CSafeDumper))
    return load_config(path, ENVIRON)


@pytest.fixture
async def sources(config: Config) -> AsyncIterator[dict[str, Source]]:
    async with HttpClient(Settings()) as outbound:
        yield build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), Settings())


def test_every_source_loads_and_only_documented_warnings_appear(config: Config) -> None:
    warned = {warning.split(":")[0].split(".")[1] for warning in config.warnings}
    assert warned == {
        "erp-inside",
        "shopify-customers-update",
        "github",
        "gitlab",
        "trello",
        "exact-online",
        "okta",
        "slack",
    }
    expected = ("has no id", "scheme: none", "sha1", "{body}", "an index", "the sender waits")
    assert all(any(part in text for part in expected) for text in config.warnings)


def test_page_has_every_preset_and_platform(config: Config) -> None:
    schemes = {str(source.verify.__struct_config__.tag) for source in config.sources.values() if source.verify}
    assert {source.preset for source in config.sources.values()} >= PRESETS
    assert schemes >= {"standard_webhooks", "bearer", "header", "path_token", "basic", "none", "hmac"}
    assert {source.platform for source in config.sources.values()} == set(PLATFORMS)


@pytest.mark.parametrize(
    ("name", "header", "algorithm", "signed"),
    [
        ("trello", "x-trello-webhook", "sha1", b'{"action": {}}https://hooks.example.com/webhooks/trello'),
        (
            "square",
            "x-square-hmacsha256-signature",
            "sha256",
            b'https://hooks.example.com/webhooks/square{"action": {}}',
        ),
    ],
)
def test_signed_address_is_part_of_the_signed_text(
    sources: dict[str, Source], name: str, header: str, algorithm: str, signed: bytes
) -> None:
    key = ENVIRON[f"{name.upper()}_SECRET"].encode()
    signature = base64.b64encode(hmac.digest(key, signed, algorithm)).decode()
    sources[name].verify(Delivery(name, {header: signature}, b'{"action": {}}', 0.0))
    with pytest.raises(Rejection):
        sources[name].verify(Delivery(name, {header: signature}, b'{"action": {} }', 0.0))


def test_dedupe_windows_match_the_table(sources: dict[str, Source]) -> None:
    rows: list[tuple[str, str, str]] = re.findall(
        r"^\| ([A-Z]?[\w. ]+?) \| [^|]+ \| (\d+) (h|days) \|$", PAGE, re.MULTILINE
    )
    assert len(rows) == 9
    for name, number, unit in rows:
        source = sources[ROWS.get(name, name.lower())]
        assert source.window_ms == int(number) * HOURS[unit] * 3_600_000, name
