"""Settings of log lines and traces."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

_PLACE = r"\{(event_id|from_ms|to_ms)\}"
LOG_URL = rf"^(https?://[^\s{{}}]+(\{{(from_ms|to_ms)\}}[^\s{{}}]*)*\{{event_id\}}[^\s{{}}]*({_PLACE}[^\s{{}}]*)*)?\Z"
"""Pattern of a URL with the id of an event, and optionally a time range."""


class TelemetrySettings(Struct, frozen=True, kw_only=True):
    """Settings of the log and of traces."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="lowest level that is logged")
    ] = "info"
    log_line_bytes_max: Annotated[int, Meta(ge=512, description="longest log line; longer fields are truncated")] = (
        4_096
    )
    log_sample_one_in: Annotated[
        int,
        Meta(
            ge=1,
            description="of the lines about successful work, those of one event in so many are written; `weight` is "
            "this number; 1: all",
        ),
    ] = 1
    log_ids: Annotated[
        Literal["plain", "digest"],
        Meta(
            description="ids of records, senders and correlation in lines: plain, unless they can be a name, an "
            "address or a phone number; or always a digest"
        ),
    ] = "plain"
    log_folder: Annotated[
        str,
        Meta(description="folder of the logs of all processes, one *.jsonl each, for the console; empty: none"),
    ] = ""
    log_url: Annotated[
        str,
        Meta(
            pattern=LOG_URL,
            description="page of the log store with the lines of {event_id}, to which the console links; {from_ms} and "
            "{to_ms} are the time of the event; empty: none",
        ),
    ] = ""
    traces: Annotated[
        bool,
        Meta(description="send traces by OTLP, as the variables OTEL_* say; needs the extra waybill[traces]"),
    ] = False
