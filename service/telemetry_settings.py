"""Settings of log lines and traces."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


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
    traces: Annotated[
        bool,
        Meta(description="send traces by OTLP, as the variables OTEL_* say; needs the extra waybill[traces]"),
    ] = False
