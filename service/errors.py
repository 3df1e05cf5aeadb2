"""Errors, each with the reaction of its caller.

WaybillError
├── ConfigError            the process does not start; the operator fixes the configuration
│   ├── ConfigErrors       as above: several mistakes of one check
│   └── MissingSecret      as above: a variable or a file of a secret is not there
├── Rejection              the sender gets an HTTP status and an error code
├── StoreUnavailable       the service answers 503, workers wait
│   └── StoreFull          as above: the memory or the backlog is at its limit
├── StoreNotDurable        the service answers 503, workers wait; the operator fixes the server
│   └── StoreLost          as above: the store was emptied or is another one; the operator restores or accepts it
├── LeaseLost              the worker drops the job: another worker can claim it
├── Deferred               the attempt is deferred and not counted: rate limit or open circuit
├── TransientError         the attempt is retried after a backoff
└── PermanentError         the event becomes a dead letter
"""

from collections.abc import Mapping, Sequence


class WaybillError(Exception):
    """Base class. `kind` is the stable code of the error: `error_kind` in the log, metrics and API."""

    kind: str = "error"


class ConfigError(WaybillError):
    """Mistake in waybill.yaml, a setting or a rule file.

    `path` is its location (`sources.pack-orders.verify.secrets[0]`, `WAYBILL_REDIS_URL`), `reason` describes it, `fix`
    is the recommended change. Where they are known, `file` and `line` are the place in a file, from 1, and `rule_id`
    is the rule.
    """

    kind = "config"

    def __init__(
        self, path: str, reason: str, fix: str, *, file: str = "", line: int | None = None, rule_id: str | None = None
    ) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason
        self.fix = fix
        self.file = file
        self.line = line
        self.rule_id = rule_id

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file and self.line is not None else self.file
        rule = f"rule {self.rule_id}" if self.rule_id is not None else ""
        return f"{': '.join(part for part in (where, rule, self.path) if part)}: {self.reason}. Fix: {self.fix}"

    @property
    def mistakes(self) -> Sequence["ConfigError"]:
        """All mistakes of the error."""
        return (self,)


class ConfigErrors(ConfigError):
    """Several mistakes of one check. `path`, `reason` and `fix` are those of the first one."""

    def __init__(self, mistakes: Sequence[ConfigError]) -> None:
        first = mistakes[0]
        super().__init__(first.path, first.reason, first.fix, file=first.file, line=first.line, rule_id=first.rule_id)
        self._mistakes = tuple(mistakes)

    @property
    def mistakes(self) -> Sequence[ConfigError]:
        """All mistakes, in the order of the files."""
        return self._mistakes

    def __str__(self) -> str:
        return "\n".join(map(str, self._mistakes))


class MissingSecret(ConfigError):
    """The variable or the file of a secret is missing or cannot be read. Rules are checked without it."""


class Rejection(WaybillError):
    """Rejected delivery or request. Answered as problem+json (RFC 9457) with `status` and the stable `code`.

    `detail` is sent to the client, so it must not contain secrets or values of the body.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.kind = code
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}


class StoreUnavailable(WaybillError):
    """The store did not answer, or rejects writes. The same call can be repeated."""

    kind = "store_unavailable"

    def __init__(self, reason: str, retry_after_seconds: int = 5) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class StoreScriptFailed(StoreUnavailable):
    """A command of a running script failed: a permission or the type of a key is wrong. A repetition would fail too."""


class StoreFull(StoreUnavailable):
    """The memory or the backlog of the store is at its limit. Nothing was written."""

    kind = "store_full"


class StoreNotDurable(WaybillError):
    """The store answers, but does not meet WAYBILL_DURABILITY. Nothing may be acknowledged."""

    kind = "store_not_durable"


class StoreLost(StoreNotDurable):
    """The store has not the data of this installation: it was emptied, is an earlier copy, or is another store."""

    kind = "store_lost"


class LeaseLost(WaybillError):
    """The lease expired. The store rejects all later writes of this attempt, and no request of it is sent.

    `is_sent` is False if the effect that the expired lease stopped had sent no request.
    """

    is_sent = True

    kind = "lease_lost"


class Deferred(WaybillError):
    """The attempt must wait for `seconds` and is not counted.

    `kind` is `circuit_open`, or `account_throttled` or `destination_throttled` (a limit). If a response opened the
    circuit, `http_status` and `operation` are those of its call. With an `account` the event can be parked under it:
    it is due when the account or destination admits calls again, and `seconds` does not count. `retry_for_seconds` is
    as in `TransientError`.
    """

    retry_for_seconds: float | None = None

    def __init__(
        self,
        kind: str,
        reason: str,
        seconds: float,
        *,
        http_status: int | None = None,
        operation: str | None = None,
        account: str = "",
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.seconds = seconds
        self.http_status = http_status
        self.operation = operation
        self.account = account


class TransientError(WaybillError):
    """A retry can succeed. The next attempt starts after `retry_after_seconds` at the earliest.

    `operation` is the failed operation of a platform, such as `pack_cloud.customer.get`. `is_sent` is False if the
    request was certainly not sent, for example because no token was available. `is_performed` says whether the target
    may have performed the request, if its configuration declares it for the status. `retry_for_seconds` is the age of
    the event up to which the destination of the effect is retried.
    """

    is_sent = True
    is_performed: bool | None = None
    retry_for_seconds: float | None = None

    def __init__(
        self,
        kind: str,
        reason: str,
        *,
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
        operation: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.http_status = http_status
        self.retry_after_seconds = retry_after_seconds
        self.operation = operation


class PermanentError(WaybillError):
    """No retry can succeed. The event becomes a dead letter with this error. `is_sent` is as in `TransientError`."""

    is_sent = True

    def __init__(self, kind: str, reason: str, *, http_status: int | None = None, operation: str | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.http_status = http_status
        self.operation = operation
