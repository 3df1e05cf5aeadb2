"""The fetch room: how one record is asked for. What the answer means is `service.platforms.answers`."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import quote

from service.errors import PermanentError
from service.outbound import Answer, Outbound
from service.platforms.answers import TRANSIENT, Reply, judge
from service.platforms.base import FetchContext, Fetched
from service.platforms.credentials import Credentials
from service.platforms.decoding import digest_of
from service.platforms.reading import Node, version_of
from service.records import Moment, Record

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_UNSAFE_SEGMENTS = frozenset({"", ".", ".."})


class Calls:
    """The GET calls of one account. `transient` names further statuses that waiting mends on this platform."""

    def __init__(
        self,
        account: str,
        base_url: str,
        outbound: Outbound,
        credentials: Credentials,
        *,
        transient: frozenset[int] = TRANSIENT,
    ) -> None:
        self._account = account
        self._base_url = base_url.rstrip("/")
        self._outbound = outbound
        self._credentials = credentials
        self._transient = transient | TRANSIENT

    async def get(
        self, operation: str, path: str, context: FetchContext, headers: Mapping[str, str] = NO_HEADERS
    ) -> Reply:
        """Ask for one thing; `path` begins with a slash and its ids are quoted, see `segment`.

        Raises:
            TransientError: `platform_unavailable`, `platform_rate_limited`, those of decoding and of the way there.
            PermanentError: `config_unauthorized`, `config_forbidden`, `config_redirected`, `config_wrong_address`,
                `request_refused`, those of decoding and of the way there.
        """
        sent = {"Accept": "application/json", **headers}
        if context.traceparent:
            sent["traceparent"] = context.traceparent
        permit = await self._credentials.headers()
        answer = await self._ask(path, {**sent, **permit})
        if answer.status == 401 and self._credentials.renewable(permit):
            permit = await self._credentials.headers()
            answer = await self._ask(path, {**sent, **permit})
        name = f"{self._account}: {operation}"
        return judge(name, answer, transient=self._transient, secrets=permit.values(), now=time.time())

    async def _ask(self, path: str, headers: Mapping[str, str]) -> Answer:
        settings = self._outbound.settings
        return await self._outbound.request(
            "GET",
            self._base_url + path,
            headers=headers,
            body=None,
            seconds_max=settings.fetch_seconds_max,
            bytes_max=settings.fetch_bytes_max,
            guarded=False,
        )


async def fetch_one(  # noqa: PLR0913 - what is asked, how, and how it is read
    calls: Calls,
    operation: str,
    path: str,
    context: FetchContext,
    *,
    asked: str,
    read: Callable[[Reply], tuple[Node, Record, Moment]],
    headers: Mapping[str, str] = NO_HEADERS,
) -> Fetched:
    """Fetch one record; `read` gives its state without envelope, the record, and when it was last modified.

    Raises:
        TransientError: as `Calls.get`.
        PermanentError: as `Calls.get`; `platform_wrong_record` if another id than `asked` came back.
    """
    reply = await calls.get(operation, path, context, headers)
    if reply.gone:
        return Fetched(None, {}, None, digest_of({}), reply.status, operation, reply.duration_ms)
    state, record, modified = read(reply)
    if record.id != asked:
        raise PermanentError("platform_wrong_record", f"{operation} gave another record", http_status=reply.status)
    return Fetched(record, state, version_of(modified), digest_of(state), reply.status, operation, reply.duration_ms)


def segment(text: str) -> str:
    """Quote one id for a path.

    Raises:
        PermanentError: `unfit_id`: nothing, or a dot segment, which would ask for something else.
    """
    if text in _UNSAFE_SEGMENTS:
        raise PermanentError("unfit_id", "the id cannot stand in a path")
    return quote(text, safe="")


def unknown_kind(account: str, kind: str) -> PermanentError:
    """Make the error for a record kind that a platform has not."""
    return PermanentError("unknown_kind", f"{account} has no {kind} to fetch")
