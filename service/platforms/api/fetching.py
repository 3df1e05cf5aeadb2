"""Fetch of one record: the call of an account, and the record that its response contains."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from service.compute_thread import LARGE_BYTES, run_in_thread
from service.errors import PermanentError, TransientError
from service.platforms.api.calls import NO_HEADERS, ApiClient
from service.platforms.api.coercion import JsonObject, record_version
from service.platforms.api.decoding import NoRecordError, digest_of
from service.platforms.api.errors_in_bodies import classify_body
from service.platforms.api.responses import PlatformResponse, TypedReader
from service.platforms.base import CallContext, FetchedRecord
from service.records import Record, Timestamp

T = TypeVar("T")


async def fetch_one(
    calls: ApiClient,
    operation: str,
    path: str,
    context: CallContext,
    *,
    asked: str,
    read: Callable[[PlatformResponse], tuple[JsonObject, Record, Timestamp]],
    headers: Mapping[str, str] = NO_HEADERS,
    read_typed: TypedReader | None = None,
) -> FetchedRecord:
    """Fetch one record. `read` returns its state without envelope, the record, and its modification time.

    `read_typed` reads usual records in less time. Both return equal records.

    Returns:
        The state of the record.

    Raises:
        TransientError: As `ApiClient.get`.
        PermanentError: As `ApiClient.get`; `platform_wrong_record` if the id in the response is not `asked`.
    """
    reply = await calls.get(operation, path, context, headers, read_typed)
    if reply.gone:
        reason = f"GET {calls.url(path)} {reply.reason}"
        return FetchedRecord(None, {}, None, digest_of({}), reply.status, operation, reply.duration_ms, reason=reason)
    if reply.body_bytes > LARGE_BYTES:
        return await run_in_thread(_read_record, operation, reply, asked, read)
    return _read_record(operation, reply, asked, read)


def _read_record(
    operation: str,
    reply: PlatformResponse,
    asked: str,
    read: Callable[[PlatformResponse], tuple[JsonObject, Record, Timestamp]],
) -> FetchedRecord:
    typed = reply.typed
    if typed is not None:
        state, record, modified = reply.data, typed.record, typed.modified
    else:
        state, record, modified = read_as(operation, read, reply)
    if record.id != asked:
        reason = f"{operation} gave another record"
        raise PermanentError("platform_wrong_record", reason, http_status=reply.status, operation=operation)
    digest = digest_of(state, large=reply.body_bytes > LARGE_BYTES) if typed is None else None
    bytes_digest = "" if typed is None else typed.digest
    version, size = record_version(modified), reply.body_bytes
    return FetchedRecord(
        record, state, version, digest, reply.status, operation, reply.duration_ms, size, bytes_digest=bytes_digest
    )


def read_as(operation: str, read: Callable[[PlatformResponse], T], reply: PlatformResponse) -> T:
    """Read a response, and add the operation and the status to its errors.

    Returns:
        The result of `read`.

    Raises:
        TransientError: As `classify_body`, if the response has not what was requested.
        PermanentError: As `read`, and as `classify_body`.
    """
    try:
        return read(reply)
    except NoRecordError as missing:
        error = classify_body(missing, reply.data)
        error.operation = operation
        raise error from missing  # either of the two documented errors
    except (TransientError, PermanentError) as error:
        error.operation = operation
        raise
