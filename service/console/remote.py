"""The way to an installation by its admin API, for whoever has a token: the same questions, as HTTP calls."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import structs

from service.errors import Refusal
from service.ingress.refused import Discarded, RefusedPage, RefusedView, Reviewed
from service.outbound import Outbound
from service.oversight.forgetting import Forgotten
from service.oversight.installation import PlatformView, PollView, SourceView, StoreView, WorkerView
from service.oversight.listing import EventPage, FoundPage
from service.oversight.replaying import Bulk, Change, ChangePage
from service.oversight.views import EventView
from service.oversight.wanted import Wanted

Answer = TypeVar("Answer")

SECONDS_MAX = 120.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
PATH = "/api/v1"


class Remote:
    """A Desk on the admin API at `url`."""

    def __init__(self, outbound: Outbound, url: str, token: str) -> None:
        self._outbound = outbound
        self._url = url.rstrip("/").removesuffix(PATH) + PATH
        self._headers = {"authorization": f"Bearer {token}", "accept": "application/json"}

    async def list_events(self, wanted: Wanted, limit: int, after: str | None) -> EventPage:
        """See Desk."""
        return await self._get("/events", EventPage, **structs.asdict(wanted), limit=limit, after=after)

    async def search_events(self, text: str, limit: int) -> FoundPage:
        """See Desk."""
        return await self._get("/events/search", FoundPage, text=text, limit=limit)

    async def show_event(self, event_id: str, *, raw: bool, dead_only: bool) -> EventView:
        """See Desk."""
        return await self._get(f"/{_kind(dead_only=dead_only)}/{_segment(event_id)}", EventView, raw=raw or None)

    async def replay_event(self, event_id: str, *, again: bool, dry_run: bool) -> Change:
        """See Desk."""
        order = {"again": again, "dry_run": dry_run}
        return await self._post(f"/events/{_segment(event_id)}/replay", Change, order)

    async def replay_page(self, bulk: Bulk, *, again: bool) -> ChangePage:
        """See Desk."""
        return await self._post("/events/replay", ChangePage, structs.asdict(bulk) | {"again": again})

    async def discard_event(self, event_id: str, reason: str) -> Change:
        """See Desk."""
        return await self._post(f"/dead-letters/{_segment(event_id)}/discard", Change, {"reason": reason})

    async def discard_page(self, bulk: Bulk, reason: str) -> ChangePage:
        """See Desk."""
        return await self._post("/dead-letters/discard", ChangePage, structs.asdict(bulk) | {"reason": reason})

    async def list_refused(self, source: str | None, limit: int, after: str | None) -> RefusedPage:
        """See Desk."""
        return await self._get("/quarantine", RefusedPage, source=source, limit=limit, after=after)

    async def show_refused(self, refused_id: str, *, raw: bool) -> RefusedView:
        """See Desk."""
        return await self._get(f"/quarantine/{_segment(refused_id)}", RefusedView, raw=raw or None)

    async def verify_refused(self, refused_id: str) -> Reviewed:
        """See Desk."""
        return await self._post(f"/quarantine/{_segment(refused_id)}/verify", Reviewed)

    async def accept_refused(self, refused_id: str) -> Reviewed:
        """See Desk."""
        return await self._post(f"/quarantine/{_segment(refused_id)}/accept", Reviewed)

    async def discard_refused(self, refused_id: str) -> Discarded:
        """See Desk."""
        return await self._post(f"/quarantine/{_segment(refused_id)}/discard", Discarded)

    async def list_sources(self) -> Sequence[SourceView]:
        """See Desk."""
        return await self._get("/sources", list[SourceView])

    async def list_platforms(self) -> Sequence[PlatformView]:
        """See Desk."""
        return await self._get("/platforms", list[PlatformView])

    async def list_stores(self, *, weigh: bool) -> Sequence[StoreView]:
        """See Desk."""
        return await self._get("/stores", list[StoreView], memory=weigh or None)

    async def list_workers(self) -> Sequence[WorkerView]:
        """See Desk."""
        return await self._get("/workers", list[WorkerView])

    async def list_polls(self) -> Sequence[PollView]:
        """See Desk."""
        return await self._get("/polls", list[PollView])

    async def forget(self, platform: str, customer_id: str, *, dry_run: bool) -> Forgotten:
        """See Desk."""
        order = {"platform": platform, "customer_id": customer_id, "dry_run": dry_run}
        return await self._post("/forget", Forgotten, order)

    async def _get(self, path: str, kind: type[Answer], **query: Any) -> Answer:  # noqa: ANN401 - text, numbers, moments
        pairs = {name: _text(value) for name, value in query.items() if value is not None}
        return await self._call("GET", f"{path}?{urlencode(pairs)}" if pairs else path, None, kind)

    async def _post(self, path: str, kind: type[Answer], order: Mapping[str, Any] | None = None) -> Answer:
        return await self._call("POST", path, None if order is None else msgspec.json.encode(order), kind)

    async def _call(self, method: str, path: str, body: bytes | None, kind: type[Answer]) -> Answer:
        """Call the API.

        Raises:
            Refusal: what it refuses, with its own status and code; `unreadable` for an answer that is not its own.
            TransientError: it does not answer.
        """
        headers = self._headers if body is None else {**self._headers, "content-type": "application/json"}
        answer = await self._outbound.request(
            method,
            self._url + path,
            headers=headers,
            body=body,
            seconds_max=SECONDS_MAX,
            bytes_max=ANSWER_BYTES_MAX,
            guarded=False,
        )
        try:
            if answer.status >= 300:
                problem = msgspec.json.decode(answer.body, type=dict[str, Any])
                raise Refusal(answer.status, str(problem["code"]), str(problem["detail"]))
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
            detail = f"What answered {answer.status} at {self._url} is no admin API of this version."
            raise Refusal(answer.status, "unreadable", detail) from error


def _kind(*, dead_only: bool) -> str:
    return "dead-letters" if dead_only else "events"


def _segment(text: str) -> str:
    return quote(text, safe="")


def _text(value: Any) -> str:  # noqa: ANN401 - a query's value
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)
