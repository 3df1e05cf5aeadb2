"""The way to an installation by its admin API, for whoever has a token: the same questions, as HTTP calls."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, structs

from service.errors import Rejection
from service.events import JsonValue, RecordRef
from service.http_client import HttpClient
from service.management.dry_run import Candidate, DryRun, RulebookComparison
from service.management.erasure import ErasureReport
from service.management.event_filter import EventFilter
from service.management.event_search import EventPage, MatchedPage
from service.management.event_view import EventView
from service.management.platform_reads import ReadView
from service.management.platform_writes import WriteView, Wrote
from service.management.quarantine import Deleted, QuarantinedView, QuarantinePage, Reverified
from service.management.replay import BulkRequest, EventChange, EventChangePage
from service.management.rulebook import Publication, StoredRulebook
from service.management.status import PlatformView, PollView, SourceView, StoreView, WorkerView
from service.rules import Rule
from service.rules.publishing import Published
from service.rules.rulebook_document import FORMAT, Document

T = TypeVar("T")

TIMEOUT_SECONDS = 120.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
PATH = "/api/v1"
PUBLICATIONS_PER_PAGE = 200
NO_ROUTE = "Not Found"
"""What is said of a path that no route has: the port for senders answers so, and an API of another version."""


class RuleResponse(Rule, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A rule as the API gives it."""

    origin: str

    def without_origin(self) -> Rule:
        """Give it as it stands in a rule file."""
        return Rule(**{name: getattr(self, name) for name in Rule.__struct_fields__})


class RulebookResponse(Struct, frozen=True):
    """A version as the API gives it."""

    version: str
    rules: tuple[RuleResponse, ...]


class PublicationPage(Struct, frozen=True):
    """One page of publications."""

    items: Sequence[Publication]
    next: str | None = None


class AdminApiClient:
    """A Desk on the admin API at `url`."""

    def __init__(self, outbound: HttpClient, url: str, token: str) -> None:
        self._outbound = outbound
        self._url = url.rstrip("/").removesuffix(PATH) + PATH
        self._headers = {"authorization": f"Bearer {token}", "accept": "application/json"}

    async def list_events(self, event_filter: EventFilter, limit: int, after: str | None) -> EventPage:
        """See Desk."""
        return await self._get("/events", EventPage, **structs.asdict(event_filter), limit=limit, after=after)

    async def search_events(self, text: str, limit: int) -> MatchedPage:
        """See Desk."""
        return await self._get("/events/search", MatchedPage, text=text, limit=limit)

    async def get_event(self, event_id: str, *, raw: bool, dead_only: bool) -> EventView:
        """See Desk."""
        return await self._get(f"/{_kind(dead_only=dead_only)}/{_segment(event_id)}", EventView, raw=raw or None)

    async def replay_event(self, event_id: str, *, rerun_done: bool, dry_run: bool) -> EventChange:
        """See Desk."""
        order = {"rerun_done": rerun_done, "dry_run": dry_run}
        return await self._post(f"/events/{_segment(event_id)}/replay", EventChange, order)

    async def replay_page(self, bulk: BulkRequest, *, rerun_done: bool) -> EventChangePage:
        """See Desk."""
        return await self._post("/events/replay", EventChangePage, structs.asdict(bulk) | {"rerun_done": rerun_done})

    async def discard_event(self, event_id: str, reason: str) -> EventChange:
        """See Desk."""
        return await self._post(f"/dead-letters/{_segment(event_id)}/discard", EventChange, {"reason": reason})

    async def discard_page(self, bulk: BulkRequest, reason: str) -> EventChangePage:
        """See Desk."""
        return await self._post("/dead-letters/discard", EventChangePage, structs.asdict(bulk) | {"reason": reason})

    async def list_quarantine(self, source: str | None, limit: int, after: str | None) -> QuarantinePage:
        """See Desk."""
        return await self._get("/quarantine", QuarantinePage, source=source, limit=limit, after=after)

    async def get_quarantined(self, quarantined_id: str, *, raw: bool) -> QuarantinedView:
        """See Desk."""
        return await self._get(f"/quarantine/{_segment(quarantined_id)}", QuarantinedView, raw=raw or None)

    async def reverify_quarantined(self, quarantined_id: str) -> Reverified:
        """See Desk."""
        return await self._post(f"/quarantine/{_segment(quarantined_id)}/reverify", Reverified)

    async def release_quarantined(self, quarantined_id: str) -> Reverified:
        """See Desk."""
        return await self._post(f"/quarantine/{_segment(quarantined_id)}/release", Reverified)

    async def delete_quarantined(self, quarantined_id: str) -> Deleted:
        """See Desk."""
        return await self._call("DELETE", f"/quarantine/{_segment(quarantined_id)}", None, Deleted)

    async def list_sources(self) -> Sequence[SourceView]:
        """See Desk."""
        return await self._get("/sources", list[SourceView])

    async def list_platforms(self) -> Sequence[PlatformView]:
        """See Desk."""
        return await self._get("/platforms", list[PlatformView])

    async def list_stores(self, *, memory: bool) -> Sequence[StoreView]:
        """See Desk."""
        return await self._get("/stores", list[StoreView], memory=memory or None)

    async def list_workers(self) -> Sequence[WorkerView]:
        """See Desk."""
        return await self._get("/workers", list[WorkerView])

    async def list_polls(self) -> Sequence[PollView]:
        """See Desk."""
        return await self._get("/polls", list[PollView])

    async def erase_customer(self, platform: str, customer_id: str, *, dry_run: bool) -> ErasureReport:
        """See Desk."""
        order = {"platform": platform, "customer_id": customer_id, "dry_run": dry_run}
        return await self._post("/erasures", ErasureReport, order)

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """See Desk."""
        return await self._get(f"/platforms/{_segment(account)}/reads", list[ReadView])

    async def read_platform(
        self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool
    ) -> JsonValue:
        """See Desk."""
        path = f"/platforms/{_segment(account)}/reads/{_segment(operation)}"
        return await self._get(path, object, **arguments, raw=raw or None)

    async def list_writes(self, account: str) -> Sequence[WriteView]:
        """Give what can be changed on an account."""
        return await self._get(f"/platforms/{_segment(account)}/writes", list[WriteView])

    async def write_platform(self, account: str, operation: str, ids: Mapping[str, str], body: bytes | None) -> Wrote:
        """Make one change; `body` is JSON.

        Raises:
            Rejection: 422 `invalid`: the body is no JSON object.
        """
        try:
            payload = None if body is None else msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejection(422, "invalid", f"the body: {error}") from error
        path = f"/platforms/{_segment(account)}/writes/{_segment(operation)}"
        return await self._post(path, Wrote, {"ids": ids, "body": payload})

    async def get_rulebook(self, version: str | None) -> StoredRulebook:
        """See Desk."""
        kept = await self._get(f"/rulebook/versions/{_segment(version)}" if version else "/rulebook", RulebookResponse)
        files, api = (
            tuple(rule.without_origin() for rule in kept.rules if rule.origin == origin) for origin in ("file", "api")
        )
        return StoredRulebook(kept.version, Document(format=FORMAT, file_rules=files, api_rules=api))

    async def list_publications(self) -> Sequence[Publication]:
        """See Desk."""
        found: list[Publication] = []
        after: str | None = None
        while True:
            path = "/rulebook/versions"
            page = await self._get(path, PublicationPage, limit=PUBLICATIONS_PER_PAGE, after=after)
            found += page.items
            after = page.next
            if after is None:
                return found

    async def apply_rules(self, rules: Sequence[Rule], author: str | None, note: str) -> Published:
        """See Desk; the author is the token's name."""
        _reject_author(author)
        return await self._put("/rulebook/files", Published, {"rules": rules, "note": note})

    async def rollback_rulebook(self, version: str, author: str | None, note: str) -> Published:
        """See Desk; the author is the token's name."""
        _reject_author(author)
        before = (await self.get_rulebook(None)).version
        kept = await self._post("/rulebook/rollback", RulebookResponse, {"version": version, "note": note})
        return Published(kept.version, len(kept.rules), changed=kept.version != before)

    async def dry_run_event(self, candidate: Candidate, event_id: str) -> DryRun:
        """See Desk."""
        return await self._post("/dry-runs", DryRun, _tried(candidate) | {"event": event_id})

    async def dry_run_record(self, candidate: Candidate, ref: RecordRef) -> DryRun:
        """See Desk."""
        return await self._post("/dry-runs", DryRun, _tried(candidate) | {"fetch": structs.asdict(ref)})

    async def compare_rules(self, candidate: Candidate, events: int) -> RulebookComparison:
        """See Desk."""
        return await self._post("/dry-runs/compare", RulebookComparison, _tried(candidate) | {"last": events})

    async def _get(self, path: str, kind: type[T], **query: object) -> T:
        pairs = {name: _text(value) for name, value in query.items() if value is not None}
        return await self._call("GET", f"{path}?{urlencode(pairs)}" if pairs else path, None, kind)

    async def _post(self, path: str, kind: type[T], order: Mapping[str, Any] | None = None) -> T:
        return await self._call("POST", path, None if order is None else msgspec.json.encode(order), kind)

    async def _put(self, path: str, kind: type[T], order: Mapping[str, Any]) -> T:
        return await self._call("PUT", path, msgspec.json.encode(order), kind)

    async def _call(self, method: str, path: str, body: bytes | None, kind: type[T]) -> T:
        """Call the API.

        Raises:
            Rejection: what it refuses, with its own status and code; `unreadable` for an answer that is not its own.
            TransientError: it does not answer.
        """
        headers = self._headers if body is None else {**self._headers, "content-type": "application/json"}
        answer = await self._outbound.request(
            method,
            self._url + path,
            headers=headers,
            body=body,
            seconds_max=TIMEOUT_SECONDS,
            bytes_max=ANSWER_BYTES_MAX,
            guarded=False,
        )
        try:
            if answer.status >= 300:
                raise _refusal(answer.status, answer.body)
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
            detail = f"What answered {answer.status} at {self._url} is no admin API of this version; its port is 8081."
            raise Rejection(answer.status, "unreadable", detail) from error


def _refusal(status: int, body: bytes) -> Rejection:
    """Read what an answer refuses.

    Raises:
        KeyError, msgspec.DecodeError: it is none of ours.
    """
    problem = msgspec.json.decode(body, type=dict[str, Any])
    if problem["detail"] == NO_ROUTE:
        raise KeyError(NO_ROUTE)
    return Rejection(status, str(problem["code"]), " ".join(_problem_details(problem)))


def _problem_details(problem: Mapping[str, Any]) -> Iterator[str]:
    """Give what a problem says, and of each mistake its place."""
    yield str(problem["detail"])
    for fault in problem.get("errors", ()):
        fix = f" ({fault['fix']})" if fault.get("fix") else ""
        yield f"{fault['pointer'] or 'the whole'}: {fault['detail']}{fix}."


def _reject_author(author: str | None) -> None:
    if author is not None:
        raise Rejection(
            422, "invalid", "--author is for the way by the stores; the API knows who you are by your token."
        )


def _tried(candidate: Candidate) -> dict[str, Any]:
    return {name: value for name, value in structs.asdict(candidate).items() if value is not None}


def _kind(*, dead_only: bool) -> str:
    return "dead-letters" if dead_only else "events"


def _segment(text: str) -> str:
    return quote(text, safe="")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)
