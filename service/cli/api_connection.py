"""Connection to the admin API, with the URL and the token of the connection options."""

import contextlib
import os
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

from service.cli.api_client import AdminApiClient
from service.cli.connection import ConnectionOptions
from service.cli.output import print_text
from service.errors import ConfigError
from service.http_client import HttpClient
from service.settings import load_settings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@contextlib.asynccontextmanager
async def open_api_client(connection: ConnectionOptions) -> AsyncGenerator[AdminApiClient]:
    """Open a client of the admin API.

    Raises:
        ConfigError: The token is missing, or the URL or a setting is not valid.
    """
    settings = load_settings(os.environ)
    url, token = connection.url or "", connection.read_token()
    scheme, host = _read_url(url)
    if scheme == "http" and host not in LOOPBACK:
        print_text("waybill: the token is sent unencrypted; use https, or a port-forward", err=True)
    async with HttpClient(settings) as http_client:
        yield AdminApiClient(http_client, url, token)


def _read_url(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("--url", f"{url!r} is not a URL of an admin API", "write it as http://127.0.0.1:8081")
    return parts.scheme, parts.hostname
