"""Calls to the admin API: URL, token, JSON, and errors."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from service.cli.api_responses import read_rejection
from service.errors import Rejection
from service.http_client import HttpClient

T = TypeVar("T")

TIMEOUT_SECONDS = 120.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
PATH = "/api/v1"


class AdminApiTransport:
    """Base class of the client: sends requests to the admin API at `url`, which may end with /api/v1."""

    def __init__(self, http_client: HttpClient, url: str, token: str) -> None:
        self._http_client = http_client
        self._url = url.rstrip("/").removesuffix(PATH) + PATH
        self._headers = {"authorization": f"Bearer {token}", "accept": "application/json"}

    async def _get(self, path: str, kind: type[T], **query: object) -> T:
        pairs = {name: _text(value) for name, value in query.items() if value is not None}
        return await self._call("GET", f"{path}?{urlencode(pairs)}" if pairs else path, None, kind)

    async def _post(self, path: str, kind: type[T], data: Mapping[str, Any] | None = None) -> T:
        return await self._call("POST", path, None if data is None else msgspec.json.encode(data), kind)

    async def _put(self, path: str, kind: type[T], data: Mapping[str, Any], if_match: str | None = None) -> T:
        return await self._call("PUT", path, msgspec.json.encode(data), kind, if_match)

    async def _call(self, method: str, path: str, body: bytes | None, kind: type[T], if_match: str | None = None) -> T:
        """Call the admin API. `if_match` is the version that must be active.

        Raises:
            Rejection: The API rejected the call; `unreadable` if the response is not from an admin API.
            TransientError: The API does not answer.
        """
        headers = self._headers if body is None else {**self._headers, "content-type": "application/json"}
        if if_match is not None:
            headers = {**headers, "if-match": f'"{if_match}"'}
        response = await self._http_client.request(
            method,
            self._url + path,
            headers=headers,
            body=body,
            seconds_max=TIMEOUT_SECONDS,
            bytes_max=ANSWER_BYTES_MAX,
            guarded=False,
        )
        try:
            if response.status >= 300:
                raise read_rejection(response.status, response.body)
            return msgspec.json.decode(response.body, type=kind)
        except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
            detail = f"{self._url} is not an admin API of this version (status {response.status}). Its port is 8081."
            raise Rejection(response.status, "unreadable", detail) from error


def segment_of(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)
