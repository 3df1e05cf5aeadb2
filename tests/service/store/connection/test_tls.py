"""TLS: a store is trusted with the configured CA and rejected without it."""

import asyncio
import contextlib
import datetime as dt
import ssl
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import structs

from service.errors import StoreUnavailable
from service.settings import Settings
from service.store import Store, open_store
from tests.service.store.builders import WINDOW_MS, make_event
from tests.waiting import PATIENCE_SECONDS


def write_certificate(folder: Path) -> Path:
    """Write a certificate for localhost that is its own authority, key and all, into one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "localhost.pem"
    path.write_bytes(key.private_bytes(*encodings) + certificate.public_bytes(serialization.Encoding.PEM))
    return path


class TlsProxy:
    """Server that terminates TLS in front of a store, in a thread of its own."""

    def __init__(self, store: str, certificate: Path) -> None:
        self.certificate = certificate
        self.port = 0
        self._store = store
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    async def serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        async with await asyncio.start_server(self._connect, "127.0.0.1", 0, ssl=self._context) as server:
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await self._stopped.wait()

    def stop(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stopped.set)

    @contextlib.contextmanager
    def hanging(self) -> Generator[None]:
        """Read and send nothing, on no connection."""
        assert self._loop is not None
        resumed = threading.Event()
        self._loop.call_soon_threadsafe(resumed.wait, PATIENCE_SECONDS)
        try:
            yield
        finally:
            resumed.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._store)
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
def behind_tls(valkey_url: str, tmp_path: Path) -> Iterator[TlsProxy]:
    proxy, started = TlsProxy(valkey_url.removeprefix("unix://"), write_certificate(tmp_path)), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(proxy.serve(started)))
    thread.start()
    assert started.wait(PATIENCE_SECONDS)
    yield proxy
    proxy.stop()
    thread.join()


async def test_untrusted_certificate_is_rejected(behind_tls: TlsProxy, make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    with pytest.raises(StoreUnavailable, match="certificate"):
        await open_store(structs.replace(settings, redis_url=f"rediss://localhost:{behind_tls.port}/0"))


async def open_behind(proxy: TlsProxy, settings: Settings) -> Store:
    url = f"rediss://localhost:{proxy.port}/0"
    return await open_store(structs.replace(settings, redis_url=url, redis_tls_ca_file=str(proxy.certificate)))


async def test_events_are_ingested_over_tls(behind_tls: TlsProxy, make_settings: Callable[..., Settings]) -> None:
    store = await open_behind(behind_tls, make_settings())
    assert (await store.ingest(make_event(), "k", WINDOW_MS)).status == "queued"
    assert (await store.sample()).pending == 1
    await store.close()
    await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_connections_to_a_hanging_server_are_closed_without_another_error(
    behind_tls: TlsProxy, make_settings: Callable[..., Settings]
) -> None:
    store = await open_behind(behind_tls, make_settings(store_connect_timeout_seconds=1, store_timeout_seconds=1))
    for _ in range(100):  # on a busy machine, a server that works answers late, too
        with contextlib.suppress(StoreUnavailable):
            await asyncio.gather(*(store.sample() for _ in range(3)))
            break
    else:
        pytest.fail("no call succeeded")
    with behind_tls.hanging():
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await store.check()
        await store.close()
