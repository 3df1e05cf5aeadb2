"""Start of traces, if `WAYBILL_TRACES` is set. Otherwise OpenTelemetry is not imported."""

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module

from service.errors import ConfigError

PROTOCOL = "http/protobuf"
PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def send_traces(component: str, environ: Mapping[str, str], *, enabled: bool) -> AbstractContextManager[None]:
    """Return the context in which the spans of this process are sent. It does nothing unless `enabled`.

    Raises:
        ConfigError: the extra `traces` is not installed, or a variable of OpenTelemetry is not valid.
    """
    if not enabled:
        return contextlib.nullcontext()
    for name in PROTOCOL_VARIABLES:
        if environ.get(name, PROTOCOL) != PROTOCOL:
            raise ConfigError(
                name, f"{environ[name]} is not supported", f"set {PROTOCOL} and the port for it, often 4318"
            )
    try:
        otlp = import_module("service.tracing.otlp")
    except ImportError as error:
        reason = f"the packages of OpenTelemetry are missing ({error})"
        raise ConfigError("WAYBILL_TRACES", reason, "pip install 'waybill[traces]', or unset it") from None
    try:
        return otlp.SpanSender(component)
    except ValueError as error:
        raise ConfigError(
            "OTEL_*", str(error), "correct the variables of OpenTelemetry, or unset WAYBILL_TRACES"
        ) from None
