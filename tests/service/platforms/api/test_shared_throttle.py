"""Shared throttle: limits and circuit breakers of an account, for all processes."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from structlog.testing import capture_logs

from service.config.throttles import FAILURE_THRESHOLD
from service.errors import Deferred, PermanentError, StoreUnavailable, TransientError
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext, FetchedRecord
from service.platforms.kind import ConnectorDependencies
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.platforms.pexip_engage.config import PexipEngageConfig
from service.platforms.pexip_engage.connector import PexipEngage
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle
from service.secrets import SecretRef
from service.settings import Settings
from service.store import Store
from service.throttles.shared_throttle import ERROR_INTERVAL_SECONDS
from service.throttles.throttle import Throttle
from service.throttles.throttles import SharedThrottles
from tests.platform_accounts import pexip_token_url
from tests.service.http_responses import UNREADABLE, server_of

TOKEN = {"env": "T"}
PACK = msgspec.convert({"kind": "pack_cloud", "organization_id": "o", "token": TOKEN}, PackCloudConfig)
ENGAGE = msgspec.convert(
    {"kind": "pexip_engage", "enterprise": "acme", "client_id": TOKEN, "client_secret": TOKEN}, PexipEngageConfig
)
CONTEXT = CallContext("e" * 32)
ORDERS = "/pack_cloud/v1/organizations/o/purchase-orders"


def throttles(store: Store) -> SharedThrottles:
    return SharedThrottles(store.limits, store.tokens, 1.0, chance=lambda: 0.0)


@pytest.fixture
async def pack(box: SandboxHandle, store: Store) -> AsyncIterator[Callable[[], PackCloud]]:
    """Each call is another process with its own memory."""
    async with HttpClient(Settings(fetch_timeout_seconds=60)) as outbound:

        def make() -> PackCloud:
            throttle = throttles(store).account("pack", PACK)
            base_url = box.base_url("pack_cloud")
            return PackCloud(
                "pack",
                PackCloudConfig(organization_id="o", token=SecretRef(env="TOKEN"), base_url=base_url),
                ConnectorDependencies(outbound, {"TOKEN": box.token}, throttle),
            )

        yield make


async def fetch(platform: PackCloud, record_id: str = "po-1") -> FetchedRecord:
    return await platform.fetch(RecordRef("pack", "purchase_order", record_id), CONTEXT)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_opens_the_circuit_for_every_process(
    pack: Callable[[], PackCloud], box: SandboxHandle, status: int
) -> None:
    box.sandbox.faults.add(Fault(match="/pack_cloud", status=status, retry_after=7))
    with capture_logs() as lines, pytest.raises(Deferred) as raised:
        await fetch(pack())
    assert (raised.value.seconds, raised.value.http_status) == (7, status)
    assert raised.value.operation == "pack_cloud.purchase_order.get"
    assert [line["event"] for line in lines] == ["platform.circuit_opened"]
    with pytest.raises(Deferred) as raised:
        await fetch(pack())
    assert (raised.value.kind, raised.value.http_status) == ("circuit_open", None)
    assert 1 < raised.value.seconds <= 7


async def test_first_calls_of_a_process_wait_for_the_open_circuits(
    pack: Callable[[], PackCloud], box: SandboxHandle
) -> None:
    box.sandbox.faults.add(Fault(match="/pack_cloud", status=429, retry_after=30))
    with capture_logs(), pytest.raises(Deferred):
        await fetch(pack())
    process = pack()
    results = await asyncio.gather(*(fetch(process, f"po-{number}") for number in range(20)), return_exceptions=True)
    assert [getattr(result, "kind", result) for result in results] == ["circuit_open"] * 20


@pytest.mark.slow
async def test_failures_in_a_row_open_the_circuit_and_a_probe_closes_it(
    pack: Callable[[], PackCloud], box: SandboxHandle
) -> None:
    box.sandbox.faults.add(Fault(match="/pack_cloud", status=502, times=FAILURE_THRESHOLD))
    processes = [pack() for _ in range(FAILURE_THRESHOLD)]
    for process in processes[:-1]:
        with pytest.raises(TransientError):
            await fetch(process)
    with pytest.raises(Deferred) as raised:
        await fetch(processes[-1])
    assert raised.value.seconds == 1
    await asyncio.sleep(1.05)
    with capture_logs() as lines:
        assert (await fetch(pack())).record is not None
    assert [line["event"] for line in lines] == ["platform.circuit_closed"]
    assert (await fetch(pack())).record is not None


@pytest.mark.parametrize("status", [408, 425, 500])
async def test_a_failure_of_one_record_does_not_open_the_circuit(
    pack: Callable[[], PackCloud], box: SandboxHandle, store: Store, status: int
) -> None:
    process = pack()
    for _ in range(FAILURE_THRESHOLD + 1):
        box.sandbox.faults.add(Fault(match="/pack_cloud", status=status))
        with pytest.raises(TransientError):
            await fetch(process)
    assert await store.limits.open_circuits() == {}


async def test_a_write_with_unknown_outcome_fails_even_if_the_circuit_opens(
    pack: Callable[[], PackCloud], box: SandboxHandle
) -> None:
    process = pack()
    box.sandbox.faults.add(Fault(match="/pack_cloud", reset=True, times=FAILURE_THRESHOLD))
    kinds: list[str] = []
    for _ in range(FAILURE_THRESHOLD):
        try:
            await process.client.sync_integration_orders("i-1", CONTEXT)
        except TransientError as error:
            kinds.append(error.kind)
    assert kinds == ["reset"] * FAILURE_THRESHOLD
    with pytest.raises(Deferred):
        await fetch(process)


async def test_a_write_answered_429_is_deferred(pack: Callable[[], PackCloud], box: SandboxHandle) -> None:
    box.sandbox.faults.add(Fault(match="/pack_cloud", status=429, retry_after=2))
    with pytest.raises(Deferred) as raised:
        await pack().client.sync_integration_orders("i-1", CONTEXT)
    assert raised.value.seconds == 2


async def scripts_run(store: Store) -> int:
    stats: bytes = await store.client.command("INFO", "commandstats")
    return sum(int(calls) for calls in re.findall(rb"cmdstat_evalsha?:calls=(\d+)", stats))


async def test_an_unlimited_account_costs_one_store_call_a_second(pack: Callable[[], PackCloud], store: Store) -> None:
    process = pack()
    await fetch(process)
    before = await scripts_run(store)
    for _ in range(20):
        await fetch(process)
    assert await scripts_run(store) - before <= 2


async def test_the_concurrency_limit_holds_over_all_processes(store: Store) -> None:
    most = now = 0
    full = asyncio.Event()

    async def call(throttle: Throttle) -> set[str]:
        """Call until the limit admits it. Return the reasons of the deferrals."""
        nonlocal most, now
        reasons: set[str] = set()
        while True:
            try:
                async with throttle.slot(repeatable=True, target="/1"):
                    now += 1
                    most = max(most, now)
                    if now == 4:
                        full.set()
                    await full.wait()
                    await asyncio.sleep(0.05)
                    now -= 1
                    return reasons
            except Deferred as held:
                reasons.add(held.kind)
                await asyncio.sleep(0.05)

    account_throttles = [throttles(store).account("engage", ENGAGE) for _ in range(3)]
    reasons = await asyncio.gather(*(call(account_throttles[n % 3]) for n in range(30)))
    assert most == 4
    assert set().union(*reasons) == {"account_throttled"}


async def test_deferred_calls_are_spaced_by_the_rate(store: Store) -> None:
    throttle = throttles(store).account("engage", ENGAGE)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(throttle.slot(repeatable=True, target="/1"))
        waits: list[float] = []
        for _ in range(3):
            with pytest.raises(Deferred) as raised:
                async with throttle.slot(repeatable=True, target="/1"):
                    pass
            waits.append(raised.value.seconds)
    assert all(wait > 0 for wait in waits)


async def test_a_cancelled_call_releases_its_slot(store: Store) -> None:
    throttle = throttles(store).account("engage", ENGAGE)

    async def hang() -> None:
        async with throttle.slot(repeatable=True, target="/1"):
            await asyncio.sleep(30)

    tasks = [asyncio.create_task(hang()) for _ in range(4)]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with throttles(store).account("engage", ENGAGE).slot(repeatable=True, target="/1"):
        pass


async def test_a_rejected_request_does_not_count_as_a_failure(
    pack: Callable[[], PackCloud], box: SandboxHandle
) -> None:
    process = pack()
    for _ in range(FAILURE_THRESHOLD + 1):
        box.sandbox.faults.add(Fault(match="/pack_cloud", status=422))
        with pytest.raises(PermanentError):
            await fetch(process)
    assert (await fetch(process)).record is not None


@pytest.mark.slow
async def test_rejected_credentials_open_the_circuit_until_they_are_accepted(
    pack: Callable[[], PackCloud], box: SandboxHandle
) -> None:
    box.sandbox.faults.add(Fault(match="/pack_cloud", status=401))
    process = pack()
    with capture_logs() as lines, pytest.raises(Deferred) as raised:
        await fetch(process)
    assert (raised.value.kind, raised.value.http_status) == ("credentials_rejected", 401)
    assert [(line["event"], line["error_kind"]) for line in lines] == [
        ("platform.circuit_opened", "credentials_rejected")
    ]
    with pytest.raises(Deferred) as raised:
        await fetch(pack(), "po-2")
    assert raised.value.kind == "circuit_open"
    await asyncio.sleep(1.05)
    assert (await fetch(process)).record is not None


async def test_403_of_all_records_opens_the_circuit_and_that_of_one_record_does_not(
    pack: Callable[[], PackCloud], box: SandboxHandle
) -> None:
    process = pack()
    for number in range(FAILURE_THRESHOLD + 1):
        box.sandbox.faults.add(Fault(match=f"{ORDERS}/po-forbidden", status=403))
        with pytest.raises(TransientError) as rejected:
            await fetch(process, "po-forbidden")
        assert (rejected.value.kind, rejected.value.http_status) == ("config_forbidden", 403)
        assert (await fetch(process, f"po-{number}")).record is not None
    box.sandbox.faults.add(Fault(match="/pack_cloud", status=403, times=FAILURE_THRESHOLD))
    for number in range(FAILURE_THRESHOLD - 1):
        with pytest.raises(TransientError):
            await fetch(process, f"po-{number}")
    with pytest.raises(Deferred) as raised:
        await fetch(process)
    assert raised.value.kind == "credentials_rejected"


async def test_a_write_with_rejected_credentials_fails_and_opens_the_circuit(
    pack: Callable[[], PackCloud], box: SandboxHandle
) -> None:
    box.sandbox.faults.add(Fault(match="/pack_cloud", status=401))
    process = pack()
    with pytest.raises(PermanentError):
        await process.client.sync_integration_orders("i-1", CONTEXT)
    with pytest.raises(Deferred):
        await process.client.sync_integration_orders("i-1", CONTEXT)


@pytest.mark.parametrize(
    ("fault", "is_open"),
    [
        (Fault(status=200, body="<html>Please sign in"), False),
        (Fault(status=409, retry_after=1), False),
        (Fault(status=403, retry_after=1), True),  # a rate limit of the account
    ],
    ids=["web page", "409", "403"],
)
async def test_responses_about_one_record_do_not_open_the_circuit(
    pack: Callable[[], PackCloud], box: SandboxHandle, store: Store, fault: Fault, *, is_open: bool
) -> None:
    process = pack()
    box.sandbox.faults.add(msgspec.structs.replace(fault, match=f"{ORDERS}/po-bad", times=FAILURE_THRESHOLD + 1))
    for _ in range(FAILURE_THRESHOLD + 1):
        with pytest.raises((TransientError, Deferred)):
            await fetch(process, "po-bad")
    assert bool((await store.limits.open_circuits()).get("pack")) is is_open


async def test_too_large_header_of_one_record_does_not_open_the_circuit(store: Store) -> None:
    async with (
        server_of(UNREADABLE["header of 40,000 bytes"]("200 OK")) as (url, _),
        HttpClient(Settings(fetch_timeout_seconds=60)) as outbound,
    ):
        dependencies = ConnectorDependencies(outbound, {"TOKEN": "t"}, throttles(store).account("pack", PACK))
        config = PackCloudConfig(organization_id="o", token=SecretRef(env="TOKEN"), base_url=url)
        process = PackCloud("pack", config, dependencies)
        for _ in range(FAILURE_THRESHOLD + 1):
            with pytest.raises(TransientError) as raised:
                await fetch(process)
            assert (raised.value.kind, raised.value.http_status) == ("protocol", 200)
        assert not (await store.limits.open_circuits()).get("pack")


async def test_web_pages_instead_of_several_records_open_the_circuit(
    pack: Callable[[], PackCloud], box: SandboxHandle, store: Store
) -> None:
    process = pack()
    box.sandbox.faults.add(Fault(match="/pack_cloud", status=200, body="<html>Maintenance", times=FAILURE_THRESHOLD))
    for number in range(FAILURE_THRESHOLD):
        with pytest.raises((TransientError, Deferred)):
            await fetch(process, f"po-{number}")
    assert (await store.limits.open_circuits())["pack"] > 0


@pytest.mark.slow
async def test_without_the_store_only_unlimited_accounts_are_called(
    box: SandboxHandle, make_settings: Callable[..., Settings]
) -> None:
    away = throttles(Store(make_settings(redis_url="unix:///nowhere.sock")))
    with pytest.raises(StoreUnavailable):
        async with away.account("engage", ENGAGE).slot(repeatable=True, target="/1"):
            pass
    async with HttpClient(Settings()) as outbound:
        base_url, throttle = box.base_url("pack_cloud"), away.account("pack", PACK)
        platform = PackCloud(
            "pack",
            PackCloudConfig(organization_id="o", token=SecretRef(env="TOKEN"), base_url=base_url),
            ConnectorDependencies(outbound, {"TOKEN": box.token}, throttle),
        )
        assert (await fetch(platform)).record is not None


async def test_all_pods_share_one_token(box: SandboxHandle, store: Store) -> None:
    # The cache treats calls of one store as calls of one process: each pod needs its own store.
    stores = [Store(store.settings) for _ in range(4)]
    async with HttpClient(Settings()) as outbound:

        def pod(own: Store) -> PexipEngage:
            shared = throttles(own)
            config = PexipEngageConfig(
                enterprise="acme",
                client_id=SecretRef(env="TOKEN"),
                client_secret=SecretRef(env="TOKEN"),
                base_url=box.base_url("pexip_engage"),
                token_url=pexip_token_url(box),
            )
            throttle = shared.account("engage", ENGAGE)
            dependencies = ConnectorDependencies(outbound, {"TOKEN": box.token}, throttle, shared.token_cache)
            return PexipEngage("engage", config, dependencies)

        counted = Fault(match="/pexip_engage/realms", times=9)
        box.sandbox.faults.add(counted)
        pods = [pod(own) for own in stores]
        await asyncio.gather(*(each.fetch(RecordRef("engage", "customer", "123"), CONTEXT) for each in pods))
        assert counted.times == 8
        box.sandbox.faults.clear()
        box.sandbox.faults.add(Fault(match="/pexip_engage/enterprises", status=401))
        again = Fault(match="/pexip_engage/realms", times=9)
        box.sandbox.faults.add(again)
        assert (await pods[0].fetch(RecordRef("engage", "customer", "123"), CONTEXT)).record is not None
        assert again.times == 8
    for own in stores:
        await own.close()


async def test_the_last_error_of_an_account_is_stored_once_a_second(store: Store) -> None:
    clock = [100.0]
    throttle = SharedThrottles(store.limits, store.tokens, 1.0, clock=lambda: clock[0]).account("pack", PACK)

    async def fail(error: Exception) -> None:
        with contextlib.suppress(Deferred, TransientError, PermanentError):
            async with throttle.slot(repeatable=True, target="x"):
                raise error

    async def stored() -> tuple[str, int]:
        error = (await store.limits.last_errors(["pack"]))["pack"]
        return error.kind, error.http_status

    await fail(PermanentError("target_rejected", "no such order", http_status=422))
    await fail(TransientError("timeout", "no answer"))
    assert await stored() == ("target_rejected", 422)
    clock[0] += ERROR_INTERVAL_SECONDS
    await fail(TransientError("timeout", "no answer"))
    assert await stored() == ("timeout", 0)
