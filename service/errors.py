"""What can go wrong, named after who must act. Nothing here does anything: fates are decided where these are caught.

WaybillError
├── ConfigError            the operator, before start: where, why, and how to mend it
├── Refusal                the sender: one HTTP status and one stable code
├── StoreUnavailable       time: the store cannot take or give; the ingress answers 503, a worker waits
│   └── StoreFull          time or the operator: memory or backlog is at its limit
├── StoreUnsafe            the operator: the store does not keep the durability that was promised
├── LeaseLost              nobody: another worker holds the job now; whatever was under way is dropped
├── Held                   nobody: a limit is reached or a platform rests; the attempt is given back
├── TransientError         time: the attempt is repeated after a back-off
└── PermanentError         a person: the event becomes a dead letter now
"""

from collections.abc import Mapping


class WaybillError(Exception):
    """The root; `kind` is the stable snake_case word that stands as `error_kind` in logs and the ledger."""

    kind: str = "error"


class ConfigError(WaybillError):
    """A mistake in the configuration, the settings or a rule file; the process does not start with it.

    `path` is where it stands (`sources.pack-orders.verify.secrets[0]`, `WAYBILL_REDIS_URL`), `reason` what is wrong,
    `fix` what to write instead.
    """

    kind = "config"

    def __init__(self, path: str, reason: str, fix: str) -> None:
        super().__init__(f"{path}: {reason}. Fix: {fix}")
        self.path = path
        self.reason = reason
        self.fix = fix


class Rejection(WaybillError):
    """A delivery that is not taken; becomes problem+json (RFC 9457) with `status` and the stable `code`.

    `detail` goes to the sender and so holds neither a secret nor a value of the body.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.kind = code
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}


class StoreUnavailable(WaybillError):
    """The store did not answer, or refuses to write. Repeating the same call later is safe."""

    kind = "store_unavailable"

    def __init__(self, reason: str, retry_after_seconds: int = 5) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class StoreFull(StoreUnavailable):
    """The store's memory or the backlog is above its limit; nothing was written."""

    kind = "store_full"


class StoreNotDurable(WaybillError):
    """The store answers but does not keep what WAYBILL_DURABILITY promises; nothing may be acknowledged on it."""

    kind = "store_not_durable"


class LeaseLost(WaybillError):
    """The job's lease is in other hands; every later write of this run is refused by the store as well."""

    kind = "lease_lost"


class Deferred(WaybillError):
    """Not now, and nobody's fault: try again after `seconds`, without counting this try.

    `kind` says why: `circuit_open` where the platform rests for everybody, `account_throttled` where an account's own
    limit is reached. Where an answer asked for the rest, `http_status` and `operation` are that call's.
    """

    def __init__(
        self, kind: str, reason: str, seconds: float, *, http_status: int | None = None, operation: str | None = None
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.seconds = seconds
        self.http_status = http_status
        self.operation = operation


class TransientError(WaybillError):
    """Waiting helps: the attempt ends and the next one is scheduled, not before `retry_after_seconds` if given.

    `operation` names the platform's operation, such as `pack_cloud.customer.get`, where the error came from one.
    """

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
    """Waiting does not help: a dead letter with this as its last error."""

    def __init__(self, kind: str, reason: str, *, http_status: int | None = None, operation: str | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.http_status = http_status
        self.operation = operation
