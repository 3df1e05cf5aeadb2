"""HTTP client against nginx."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.errors import PermanentError, TransientError
from service.http_client import HttpClient
from tests.certificates import write_server_certificate
from tests.free_ports import find_free_ports
from tests.service.http_client.servers import call, trusting

LARGE = b"order line\n" * 100_000
CONFIG = """\
daemon off; worker_processes 1; error_log {root}/error.log; pid {root}/pid;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_timeout 60; keepalive_requests 5; client_max_body_size 1m; default_type application/json;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3; uwsgi_temp_path {root}/t4;
  scgi_temp_path {root}/t5; gzip_types application/json; gzip_min_length 1; ssl_certificate {root}/leaf.pem;
  ssl_certificate_key {root}/leaf.key;
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.1:{tls_port} ssl; root {root};
    location /large {{ gzip on; }}
    location /close {{ keepalive_timeout 0; return 200 '{{}}'; }}
    location /moved {{ return 308 /large; }}
    location /none {{ return 204; }}
    location /drop {{ return 444; }}
  }}
}}
"""

pytestmark = pytest.mark.system_tool("nginx", package="nginx-light")


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Run nginx. Return its URLs without and with TLS, and its folder."""
    root = tmp_path_factory.mktemp("nginx")
    write_server_certificate(root)
    (root / "large").write_bytes(LARGE)
    port, tls_port = find_free_ports(2)
    user = "user root; " if os.geteuid() == 0 else ""  # another user cannot read the folder
    (root / "nginx.conf").write_text(user + CONFIG.format(root=root, port=port, tls_port=tls_port))
    process = subprocess.Popen([shutil.which("nginx") or "", "-p", str(root), "-c", str(root / "nginx.conf")])
    while not (root / "pid").exists() and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None
    yield f"http://localhost:{port}", f"https://localhost:{tls_port}", root
    process.terminate()
    process.wait()


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "tls"])
async def test_responses_of_nginx_are_read(
    outbound: HttpClient, nginx: tuple[str, str, Path], *, is_encrypted: bool
) -> None:
    url = nginx[is_encrypted]
    options: dict[str, Any] = {"transport": trusting(str(nginx[2] / "ca.pem")), "bytes_max": len(LARGE)}
    for _ in range(7):  # nginx closes a connection after five requests
        answer = await call(outbound, f"{url}/large", **options)
        assert (answer.status, answer.headers["content-encoding"], answer.body == LARGE) == (200, "gzip", True)
    plain = await call(
        outbound, f"{url}/large", headers={"Accept-Encoding": "identity", "Range": "bytes=0-9"}, **options
    )
    assert (plain.status, plain.body) == (206, LARGE[:10])
    assert (await call(outbound, f"{url}/large", "HEAD", **options)).body == b""
    same = await call(outbound, f"{url}/large", headers={"If-None-Match": plain.headers["etag"]}, **options)
    assert (same.status, same.body) == (304, b"")
    assert (await call(outbound, f"{url}/close", **options)).body == b"{}"
    assert (await call(outbound, f"{url}/moved", **options)).headers["location"].endswith("/large")
    assert (await call(outbound, f"{url}/none", "DELETE", **options)).status == 204
    assert (await call(outbound, f"{url}/missing", **options)).status == 404
    assert (await call(outbound, f"{url}/large", "POST", body=b"x" * 1_000_000, **options)).status == 405
    with pytest.raises(PermanentError, match="exceeds"):
        await call(outbound, f"{url}/large", transport=options["transport"], bytes_max=len(LARGE) - 1)
    with pytest.raises(TransientError) as raised:
        await call(outbound, f"{url}/drop", **options)
    assert raised.value.kind == "reset"


async def test_large_body_that_nginx_rejects_early_is_a_413_or_a_reset(
    outbound: HttpClient, nginx: tuple[str, str, Path]
) -> None:
    (ended,) = await asyncio.gather(
        call(outbound, f"{nginx[0]}/large", "POST", body=bytes(30_000_000)), return_exceptions=True
    )
    assert getattr(ended, "status", 413) == 413
    assert getattr(ended, "kind", "reset") == "reset"


async def test_concurrent_calls_of_nginx_are_complete(outbound: HttpClient, nginx: tuple[str, str, Path]) -> None:
    answers = await asyncio.gather(*(call(outbound, f"{nginx[0]}/large", bytes_max=len(LARGE)) for _ in range(100)))
    assert all(answer.body == LARGE for answer in answers)


async def test_plain_request_to_the_port_with_tls_is_a_response(
    outbound: HttpClient, nginx: tuple[str, str, Path]
) -> None:
    assert (await call(outbound, nginx[1].replace("https", "http"))).status == 400
