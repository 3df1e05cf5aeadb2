"""What both pods say: one JSON object a line on stdout, from structlog and from every library alike.

`configure` is called once, first thing, by a process's command. A line is `timestamp`, `level`, `component`, `message`
(the event's name) and the caller's fields, without secrets and personal data (`service.redaction`). It is never longer
than the limit, and is written by one `os.write`, so that lines of several processes on one pipe do not mix. At a
terminal the same fields are rendered for reading. The log schema lists all events and fields.
"""

import logging
import os
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Literal, cast

import msgspec
import structlog
from msgspec import Struct
from structlog.contextvars import merge_contextvars
from structlog.typing import FilteringBoundLogger

from service.errors import WaybillError
from service.redaction import mask_values, redact, scrub, to_plain

Component = Literal["service", "workers"]
LogRenderer = Callable[[dict[str, Any]], bytes]
Processor = Callable[[Any, str, MutableMapping[str, Any]], bytes]

FRAMES_MAX = 20
LINE_BYTES_MAX = 4_096
"""By default as long as a pipe takes in one piece (PIPE_BUF)."""

STALL_SECONDS_MAX = 1.0
"""How long a full pipe may hold a process up, per line, before the line is dropped."""

LIBRARY_LEVELS = {
    "arq.worker": logging.WARNING,  # two lines a job cost more than the job; ours say more
    "uvicorn": logging.WARNING,  # process.started says it
    "uvicorn.access": logging.WARNING,  # delivery.received says it
    "uvicorn.error": logging.ERROR,  # it warns of all that is no HTTP, so that anyone could fill the log
}
_KEPT = ("timestamp", "level", "component", "message", "event_id")
_encode = msgspec.json.Encoder(enc_hook=to_plain).encode


def configure(component: Component, level: str = "info", line_bytes_max: int = LINE_BYTES_MAX, fd: int = 1) -> None:
    """Send every line of this process, ours and the libraries', to `fd` (stdout); to be called before the first line.

    May be called again as long as nothing was logged: a command starts with the defaults, so that even a failing start
    is told, and calls again once it knows its settings.
    """
    render = _render_readable if os.isatty(fd) else _json_renderer(line_bytes_max)
    finish = _finisher(component, render)
    _current.often = _direct(finish, _Writer(fd)) if level in {"debug", "info"} else None
    structlog.configure(
        processors=[merge_contextvars, finish],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Writer(fd),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler(finish, _Writer(fd))]
    root.setLevel(level.upper())
    for name, least in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def get_logger(**fields: object) -> FilteringBoundLogger:
    """Give a logger; the name of a line comes first: `log.info("delivery.received", source_name="pack-orders")`."""
    return structlog.get_logger(**fields)


class _Current(Struct):
    """What the last `configure` made, and the logger that was bound to these processors."""

    processors: object = None
    logger: Any = None
    often: Callable[[str, dict[str, Any]], None] | None = None


_current = _Current()


def current_logger() -> FilteringBoundLogger:
    """Give the process's one logger. A fresh one binds itself at its first line, which costs half as much again."""
    processors = structlog.get_config()["processors"]
    if _current.processors is not processors:
        _current.processors, _current.logger = processors, structlog.get_logger().bind()
    return _current.logger


def log_info(name: str, fields: dict[str, Any]) -> None:
    """Write a line of level info as `current_logger().info(name, **fields)` would, at two thirds of the cost.

    For what is told of every delivery, or of every event. `fields` belong to the line from then on.
    """
    if _current.often is not None:
        _current.often(name, fields)
    else:  # not configured, or such that the line may not be written
        current_logger().info(name, **fields)


def _direct(finish: Processor, writer: "_Writer") -> Callable[[str, dict[str, Any]], None]:
    def write_line(name: str, fields: dict[str, Any]) -> None:
        fields["event"] = name
        writer.write(finish(None, "info", merge_contextvars(None, "info", fields)))

    return write_line


def _finisher(component: str, render: LogRenderer) -> Processor:
    stamp = _Clock().stamp

    def finish(_logger: object, level: str, fields: MutableMapping[str, Any]) -> bytes:
        name = fields.pop("event", "")
        if "exc_info" in fields or "stack_info" in fields:
            _add_exception(fields)
        line = {"timestamp": stamp(time.time()), "level": level, "component": component, "message": name, **fields}
        redact(line)
        return render(line)

    return finish


def _json_renderer(line_bytes_max: int) -> LogRenderer:
    fit = line_bytes_max - 1

    def render(line: dict[str, Any]) -> bytes:
        try:
            encoded = _encode(line)
        except ValueError:  # a lone surrogate somewhere, which is no text in UTF-8
            line = {_utf8(name): _utf8(str(value)) for name, value in line.items()}
            encoded = _encode(line)
        # What is taken out of texts always holds an @: an e-mail address, or a URL with user and password.
        if b"@" in encoded:
            line = scrub(line)
            encoded = _encode(line)
        return (encoded if len(encoded) <= fit else _shorten(line, fit)) + b"\n"

    return render


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _shorten(line: Mapping[str, Any], fit: int) -> bytes:
    """Cut the longest fields, say which under `truncated`, and keep to `fit` bytes whatever came in."""
    length_max = fit // 2
    while length_max >= 32:
        cut: list[str] = []
        shorter = {name: _cut(name, value, length_max, cut) for name, value in line.items()}
        encoded = _encode({**shorter, "truncated": cut})
        if len(encoded) <= fit:
            return encoded
        length_max //= 2
    kept = {name: _cut(name, line[name], 32, []) for name in _KEPT if name in line}
    return _encode({**kept, "truncated": ["*"]})


def _cut(name: str, value: object, length_max: int, cut: list[str]) -> object:
    text = value if isinstance(value, str) else _encode(value).decode()
    if len(text) <= length_max:
        return value
    cut.append(name[:64])
    return text[: length_max - 1] + "…"


def _render_readable(line: dict[str, Any]) -> bytes:
    """Render for a terminal: coloured, the stack on lines of its own."""
    line = scrub(line)
    stack = line.pop("error_stack", "")
    return f"{_console(None, '', line)}\n{stack}".encode("utf-8", "replace")


_console = structlog.dev.ConsoleRenderer(colors=True, timestamp_key="timestamp", event_key="message", pad_event_to=20)


class _Clock:
    """The moment as `2026-11-20T08:15:30.042Z`; the part up to the second is made once a second."""

    def __init__(self) -> None:
        self.second = -1
        self.prefix = ""

    def stamp(self, now: float) -> str:
        second = int(now)
        if second != self.second:
            self.prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self.second = second
        return f"{self.prefix}.{int((now - second) * 1000):03d}Z"


class _Writer:
    """Where lines go: one write each. A reader that is gone or stuck costs lines, not the events being handled."""

    def __init__(self, fd: int, stall_seconds_max: float = STALL_SECONDS_MAX) -> None:
        self.fd = fd
        self.stall_seconds_max = stall_seconds_max

    def write(self, line: bytes) -> None:
        try:
            written = self._write_some(line)
            while written < len(line):
                line = line[written:]
                written = self._write_some(line)
        except OSError:
            return

    debug = info = warning = error = critical = write

    def _write_some(self, line: bytes) -> int:
        try:
            return os.write(self.fd, line)
        except BlockingIOError:
            _, ready, _ = select.select([], [self.fd], [], self.stall_seconds_max)
            return 0 if ready else len(line)


class _LibraryHandler(logging.Handler):
    """Brings the standard library's records into the same lines: `library.logged` with `logger` and `text`."""

    def __init__(self, finish: Processor, writer: _Writer) -> None:
        super().__init__()
        self.finish = finish
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; one that cannot be formatted is told as such instead of raised into the library."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - a library's wrong arguments are not ours to fail on
            message = f"{record.msg} [{type(error).__name__} while formatting]"
        fields: dict[str, Any] = {"event": "library.logged", "logger": record.name, "text": mask_values(message)}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        merged = merge_contextvars(None, "", fields)
        self.writer.write(self.finish(None, record.levelname.lower(), merged))


def _add_exception(fields: MutableMapping[str, Any]) -> None:
    """Replace `exc_info` by kind, type, text and the last frames, which never show the values of locals."""
    fields.pop("stack_info", None)
    error = _exception_of(fields.pop("exc_info", None))
    if error is None:
        return
    fields.setdefault("error_kind", error.kind if isinstance(error, WaybillError) else "unexpected")
    fields["error_type"] = type(error).__name__
    fields["error_message"] = _text_of(error)
    summary = traceback.TracebackException.from_exception(error, limit=-FRAMES_MAX, capture_locals=False)
    stack = "".join(summary.format())
    # The stack repeats the text of each error as it is, values and all.
    for link in _chain(error):
        stack = stack.replace(str(link), _text_of(link))
    fields["error_stack"] = stack


def _text_of(error: BaseException) -> str:
    """Give an error's text. Ours, and those about names in code, hold no values; of others, values are taken out."""
    return str(error) if isinstance(error, WaybillError | _ABOUT_CODE) else mask_values(str(error))


_ABOUT_CODE = TypeError | AttributeError | NameError | ImportError


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give all errors that a traceback tells of: what it was raised from, what it was raised during, its group's."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < FRAMES_MAX:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__]
            if isinstance(link, BaseExceptionGroup):
                waiting += cast("BaseExceptionGroup[BaseException]", link).exceptions


def _exception_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return cast("tuple[Any, BaseException | None, Any]", exc_info)[1]
    return sys.exc_info()[1] if exc_info else None


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        sys.__excepthook__(kind, error or kind(), trace)
        return
    get_logger().critical("process.failed", exc_info=error)
