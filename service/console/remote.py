"""The way to an installation by its admin API, for whoever has a token: the same questions, as HTTP calls."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, structs

from service.dry_runs import Comparison, DryRun
from service.errors import Refusal
from service.events import RecordRef
from service.outbound import Outbound
from service.oversight.forgetting import Forgotten
from service.oversight.installation import PlatformView, PollView, SourceView, StoreView, WorkerView
from service.oversight.listing import EventPage, FoundPage
from service.oversight.platform_reads import ReadView
from service.oversight.platform_writes import WriteView, Wrote
from service.oversight.quarantine import Discarded, RefusedPage, RefusedView, Reviewed
from service.oversight.replaying import Bulk, Change, ChangePage
from service.oversight.rulebooks import Kept, Publication
from service.oversight.trying import Candidate
from service.oversight.views import EventView
from service.oversight.wanted import Wanted
from service.plain import Plain
from service.rules import Rule
from service.rules.document import FORMAT, Document
from service.rules.publishing import Published

Answer = TypeVar("Answer")

SECONDS_MAX = 120.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
PATH = "/api/v1"
PUBLICATIONS_PER_PAGE = 200
NO_ROUTE = "Not Found"
"""What is said of a path that no route has: the port for senders answers so, and an API of another version."""


class KeptRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A rule as the API gives it."""

    origin: str

    def bare(self) -> Rule:
        """Give it as it stands in a rule file."""
        return Rule(**{name: getattr(self, name) for name in Rule.__struct_fields__})


class KeptRules(Struct, frozen=True):
    """A version as the API gives it."""

    version: str
    rules: tuple[KeptRule, ...]


class PublicationPage(Struct, frozen=True):
    """One page of publications."""

    items: Sequence[Publication]
    next: str | None = None


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
        order = {"rerun_done": again, "dry_run": dry_run}
        return await self._post(f"/events/{_segment(event_id)}/replay", Change, order)

    async def replay_page(self, bulk: Bulk, *, again: bool) -> ChangePage:
        """See Desk."""
        return await self._post("/events/replay", ChangePage, structs.asdict(bulk) | {"rerun_done": again})

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
        return await self._post(f"/quarantine/{_segment(refused_id)}/reverify", Reviewed)

    async def accept_refused(self, refused_id: str) -> Reviewed:
        """See Desk."""
        return await self._post(f"/quarantine/{_segment(refused_id)}/release", Reviewed)

    async def discard_refused(self, refused_id: str) -> Discarded:
        """See Desk."""
        return await self._call("DELETE", f"/quarantine/{_segment(refused_id)}", None, Discarded)

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
        return await self._post("/erasures", Forgotten, order)

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """See Desk."""
        return await self._get(f"/platforms/{_segment(account)}/reads", list[ReadView])

    async def read_platform(self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool) -> Plain:
        """See Desk."""
        path = f"/platforms/{_segment(account)}/reads/{_segment(operation)}"
        return await self._get(path, object, **arguments, raw=raw or None)

    async def list_writes(self, account: str) -> Sequence[WriteView]:
        """Give what can be changed on an account."""
        return await self._get(f"/platforms/{_segment(account)}/writes", list[WriteView])

    async def write_platform(self, account: str, operation: str, ids: Mapping[str, str], body: bytes | None) -> Wrote:
        """Make one change; `body` is JSON.

        Raises:
            Refusal: 422 `invalid`: the body is no JSON object.
        """
        try:
            told = None if body is None else msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refusal(422, "invalid", f"the body: {error}") from error
        path = f"/platforms/{_segment(account)}/writes/{_segment(operation)}"
        return await self._post(path, Wrote, {"ids": ids, "body": told})

    async def rulebook(self, version: str | None) -> Kept:
        """See Desk."""
        kept = await self._get(f"/rulebook/versions/{_segment(version)}" if version else "/rulebook", KeptRules)
        files, api = (tuple(rule.bare() for rule in kept.rules if rule.origin == origin) for origin in ("file", "api"))
        return Kept(kept.version, Document(format=FORMAT, file_rules=files, api_rules=api))

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
        _refuse_author(author)
        return await self._put("/rulebook/files", Published, {"rules": rules, "note": note})

    async def restore_rulebook(self, version: str, author: str | None, note: str) -> Published:
        """See Desk; the author is the token's name."""
        _refuse_author(author)
        before = (await self.rulebook(None)).version
        kept = await self._post("/rulebook/rollback", KeptRules, {"version": version, "note": note})
        return Published(kept.version, len(kept.rules), changed=kept.version != before)

    async def try_event(self, candidate: Candidate, event_id: str) -> DryRun:
        """See Desk."""
        return await self._post("/dry-runs", DryRun, _tried(candidate) | {"event": event_id})

    async def try_record(self, candidate: Candidate, ref: RecordRef) -> DryRun:
        """See Desk."""
        return await self._post("/dry-runs", DryRun, _tried(candidate) | {"fetch": structs.asdict(ref)})

    async def compare_rules(self, candidate: Candidate, events: int) -> Comparison:
        """See Desk."""
        return await self._post("/dry-runs/compare", Comparison, _tried(candidate) | {"last": events})

    async def _get(self, path: str, kind: type[Answer], **query: object) -> Answer:
        pairs = {name: _text(value) for name, value in query.items() if value is not None}
        return await self._call("GET", f"{path}?{urlencode(pairs)}" if pairs else path, None, kind)

    async def _post(self, path: str, kind: type[Answer], order: Mapping[str, Any] | None = None) -> Answer:
        return await self._call("POST", path, None if order is None else msgspec.json.encode(order), kind)

    async def _put(self, path: str, kind: type[Answer], order: Mapping[str, Any]) -> Answer:
        return await self._call("PUT", path, msgspec.json.encode(order), kind)

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
                raise _refusal(answer.status, answer.body)
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
            detail = f"What answered {answer.status} at {self._url} is no admin API of this version; its port is 8081."
            raise Refusal(answer.status, "unreadable", detail) from error


def _refusal(status: int, body: bytes) -> Refusal:
    """Read what an answer refuses.

    Raises:
        KeyError, msgspec.DecodeError: it is none of ours.
    """
    problem = msgspec.json.decode(body, type=dict[str, Any])
    if problem["detail"] == NO_ROUTE:
        raise KeyError(NO_ROUTE)
    return Refusal(status, str(problem["code"]), " ".join(_told(problem)))


def _told(problem: Mapping[str, Any]) -> Iterator[str]:
    """Give what a problem says, and of each mistake its place."""
    yield str(problem["detail"])
    for fault in problem.get("errors", ()):
        fix = f" ({fault['fix']})" if fault.get("fix") else ""
        yield f"{fault['pointer'] or 'the whole'}: {fault['detail']}{fix}."


def _refuse_author(author: str | None) -> None:
    if author is not None:
        raise Refusal(422, "invalid", "--author is for the way by the stores; the API knows who you are by your token.")


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
