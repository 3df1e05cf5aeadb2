"""Fixtures: configured sources for well-known senders, and the libraries of these senders."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from service.configuration import load_config
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.platforms.registry import build_platforms
from service.settings import Settings

from . import npm

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"SECRET": SECRET}
ERP = {
    "kind": "custom",
    "base_url": "https://erp.example.com",
    "auth": {"type": "none"},
    "records": {"customer": {"path": "/customers/{id}"}, "purchase_order": {"path": "/orders/{id}"}},
}

MakeSource = Callable[..., Source]


@pytest.fixture
async def make_source(tmp_path: Path) -> AsyncIterator[MakeSource]:
    """Build a source from its configuration: `make_source("stripe", envelope={…})`."""
    async with HttpClient(Settings()) as outbound:

        def make(verify: str | dict[str, Any], **fields: Any) -> Source:
            secrets = {"secrets": [{"env": "SECRET"}]}
            verified = {"preset": verify} | secrets if isinstance(verify, str) else {"verify": secrets | verify}
            source = {"platform": "erp"} | verified | fields
            path = tmp_path / "waybill.yaml"
            path.write_text(json.dumps({"platforms": {"erp": ERP}, "sources": {"one": source}}))
            config = load_config(path, ENVIRON)
            return build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), Settings())[
                "one"
            ]

        yield make


@pytest.fixture(scope="session")
def npm_libraries() -> Callable[..., Any]:
    """Install the npm libraries; return their call function: `npm_libraries("github", "sign", body, secret)`."""
    npm.install()
    return npm.call
