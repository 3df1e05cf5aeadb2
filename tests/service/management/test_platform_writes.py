"""A platform write has an audit line even if the caller is cancelled before the response."""

import asyncio
import json

import pytest
from msgspec import structs

from service.config import SecretRef
from service.http_client import HttpClient
from service.management.platform_operations import PlatformOperations
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.registry import build_platforms
from service.sandbox.faults import Fault
from service.sandbox.server import running_sandbox
from service.settings import Settings
from service.store import Store
from tests.service.ingress.admin.conftest import CONFIG, installation_of
from tests.service.management.conftest import ANN
from tests.waiting import until

DELAY_MS = 300


async def test_a_cancelled_write_is_logged_when_its_outcome_is_known(
    settings: Settings, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running_sandbox() as box, HttpClient(settings, {"127.0.0.1"}) as outbound:
        url = box.base_url("pack_cloud")
        configs = {"pack": PackCloudConfig(organization_id="org_1", token=SecretRef(env="API"), base_url=url)}
        platforms = build_platforms(configs, {"API": box.token}, outbound)
        box.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=DELAY_MS))
        body = b'{"name": "Hold", "type": "order"}'
        installation = installation_of(lambda: store, structs.replace(CONFIG, platforms=configs), platforms)
        write = PlatformOperations(installation, ANN).write_platform("pack", "rule.create", {}, body, raw=False)
        task = asyncio.ensure_future(write)
        await until(
            lambda: not box.sandbox.faults.waiting
        )  # the platform has received the write and delays the response
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (line,) = [json.loads(each) for each in capfd.readouterr().out.splitlines() if "admin.changed" in each]
    assert (line["audit_action"], line["target"], line["http_status"]) == ("platform.written", "pack:rule.create", 201)
