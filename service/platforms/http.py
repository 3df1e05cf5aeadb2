"""The HTTP room: how an account is asked for anything. What the answer means is `service.platforms.answers`."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import quote, urlencode

from service.errors import Held, PermanentError, TransientError
from service.outbound import Answer, Outbound
from service.platforms.answers import GONE, TRANSIENT, Reply, judge
from service.platforms.base import FetchContext, Fetched
from service.platforms.credentials import Credentials
from service.platforms.decoding import digest_of
from service.platforms.gate import OPEN, Gate
from service.platforms.reading import Node, version_of
from service.records import Moment, Record

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

T = TypeVar("T")

_UNSAFE_SEGMENTS = frozenset({"", ".", ".."})


class Calls:
    """The calls of one account, each through its gate.

    `transient` names further statuses that waiting mends on a read, `gone` further ones that mean 404.
    """

    def __init__(
        self,
        account: str,
        base_url: str,
        outbound: Outbound,
        credentials: Credentials,
        *,
        transient: frozenset[int] = TRANSIENT,
        gone: frozenset[int] = GONE,
        gate: Gate = OPEN,
    ) -> None:
        self.account = account
        self._base_url = base_url.rstrip("/")
        self._outbound = outbound
        self._credentials = credentials
        self._transient = (transient | TRANSIENT) - gone
        self._gone = gone | GONE
        self._gate = gate

    async def get(
        self, operation: str, path: str, context: FetchContext, headers: Mapping[str, str] = NO_HEADERS
    ) -> Reply:
        """Ask for one thing.

        Raises:
            TransientError, PermanentError, Held: as `ask`.
        """
        return await self.ask(operation, "GET", path, context, headers=headers, repeatable=True)

    async def ask(
        self,
        operation: str,
        method: str,
        path: str,
        context: FetchContext,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        repeatable: bool = False,
    ) -> Reply:
        """Make one call; `path` begins with a slash and its ids are quoted, see `segment`.

        Any 2xx to what is not `repeatable` says that it is done, whatever the body: `data` is then what could be read.

        Raises:
            TransientError: `platform_unavailable`, `platform_rate_limited`, those of decoding and of the way there.
            PermanentError: `config_unauthorized`, `config_forbidden`, `config_redirected`, `config_wrong_address`,
                `platform_rejected`, those of decoding and of the way there.
            Held: a limit is reached, or the platform rests.
        """
        target = path + ("?" + urlencode(query) if query else "")
        try:
            sent = _headers(context, headers, body)
            return await self._repeated(operation, method, target, sent, body, repeatable=repeatable)
        except (TransientError, PermanentError, Held) as error:
            error.operation = operation
            raise

    async def _repeated(
        self,
        operation: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        repeatable: bool,
    ) -> Reply:
        """A call that is let in no more is made once again with new credentials, where there can be new ones."""
        renewed = False
        while True:
            async with self._gate.passage(repeatable=repeatable):
                permit = await self._credentials.headers()
                answer = await self._send(method, target, {**headers, **permit}, body)
                again = not renewed and answer.status == 401 and await self._credentials.renewable(permit)
                if not again:
                    return self._judge(operation, answer, permit, repeatable=repeatable)
            renewed = True

    def _judge(self, operation: str, answer: Answer, permit: Mapping[str, str], *, repeatable: bool) -> Reply:
        return judge(
            f"{self.account}: {operation}",
            answer,
            transient=self._transient if repeatable else TRANSIENT,
            gone=self._gone,
            secrets=permit.values(),
            now=time.time(),
            body_needed=repeatable,
        )

    async def _send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        settings = self._outbound.settings
        return await self._outbound.request(
            method,
            self._base_url + target,
            headers=headers,
            body=body,
            seconds_max=settings.fetch_timeout_seconds,
            bytes_max=settings.fetch_bytes_max,
            guarded=False,
        )


def _headers(context: FetchContext, headers: Mapping[str, str], body: bytes | None) -> Mapping[str, str]:
    sent = {"Accept": "application/json", **headers}
    if body is not None:
        sent["Content-Type"] = "application/json"
    if context.traceparent:
        sent["traceparent"] = context.traceparent
    return sent


async def fetch_one(
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
    state, record, modified = read_as(operation, read, reply)
    if record.id != asked:
        reason = f"{operation} gave another record"
        raise PermanentError("platform_wrong_record", reason, http_status=reply.status, operation=operation)
    return Fetched(record, state, version_of(modified), digest_of(state), reply.status, operation, reply.duration_ms)


def read_as(operation: str, read: Callable[[Reply], T], reply: Reply) -> T:
    """Read an answer; what is wrong with it is wrong with this operation.

    Raises:
        PermanentError: as `read`.
    """
    try:
        return read(reply)
    except PermanentError as error:
        error.operation = operation
        raise


def segment(text: str) -> str:
    """Quote one id for a path.

    Raises:
        PermanentError: `invalid_id`: nothing, or a dot segment, which would ask for something else.
    """
    if text in _UNSAFE_SEGMENTS:
        raise PermanentError("invalid_id", "the id cannot stand in a path")
    return quote(text, safe="")


def unknown_kind(account: str, kind: str) -> PermanentError:
    """Make the error for a record kind that a platform has not."""
    return PermanentError("unknown_kind", f"{account} has no {kind} to fetch")
