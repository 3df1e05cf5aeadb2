"""Log lines of the other side: the performance configuration of structlog's documentation, to /dev/null."""

import logging
import os
from pathlib import Path
from typing import Any

import msgspec
import structlog

_encode = msgspec.json.Encoder().encode


def _serialize(fields: Any, **_: Any) -> bytes:
    return _encode(fields)


def fast_log() -> Any:
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_serialize),
        ],
        logger_factory=structlog.BytesLoggerFactory(Path(os.devnull).open("wb")),  # noqa: SIM115 - for good
    )
    return structlog.get_logger()
