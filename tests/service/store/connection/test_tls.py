"""TLS: a store is trusted with the configured CA and rejected without it."""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import structs

from service.errors import StoreUnavailable
from service.settings import Settings
from service.store import open_store
from tests.service.store.builders import WINDOW_MS, make_event


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


@pytest.fixture
async def behind_tls(valkey_url: str, tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    """Terminate TLS in front of the server; gives the port and the authority's file."""
    certificate = write_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(valkey_url.removeprefix("unix://"))
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1], certificate
    server.close()


async def test_untrusted_certificate_is_rejected(
    behind_tls: tuple[int, Path], make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings()
    with pytest.raises(StoreUnavailable, match="certificate"):
        await open_store(structs.replace(settings, redis_url=f"rediss://localhost:{behind_tls[0]}/0"))


async def test_events_are_ingested_over_tls(
    behind_tls: tuple[int, Path], make_settings: Callable[..., Settings]
) -> None:
    port, authority = behind_tls
    url = f"rediss://localhost:{port}/0"
    store = await open_store(structs.replace(make_settings(), redis_url=url, redis_tls_ca_file=str(authority)))
    assert (await store.ingest(make_event(), "k", WINDOW_MS)).status == "queued"
    assert (await store.sample()).pending == 1
    await store.close()
    await asyncio.sleep(0.05)
