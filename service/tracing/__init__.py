"""Traces: spans of the work on an event, sent to an OpenTelemetry collector by OTLP if `WAYBILL_TRACES` is set.

- `spans`   starts spans; without a tracer it returns one span that does nothing
- `startup` opens the tracer, if traces are on
- `otlp`    the tracer; only this module imports OpenTelemetry
"""
