"""Rendering of log lines: one JSON object, or readable text for a terminal."""

import socket
import time
from collections.abc import Callable, Mapping, MutableMapping
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any

import msgspec
import structlog

from service.redaction import scrub, to_plain

LogFields = MutableMapping[str, Any]
LogRenderer = Callable[[str, object, LogFields], bytes]
"""Returns a line from its level, its event name and its fields."""

HEADS_CACHED_MAX = 512
"""Event names whose encoded head is remembered."""

_HEAD_NAMES = frozenset({"timestamp", "level", "component", "version", "instance", "message"})
_NEVER_DROPPED = ("timestamp", "level", "component", "version", "instance", "message", "event_id")
_encode = msgspec.json.Encoder(enc_hook=to_plain).encode


@cache
def _origin() -> tuple[str, str]:
    """Return the version, and the host name, which is the name of the pod."""
    return version("waybill"), socket.gethostname()


def _head(component: str, stamp: str, level: str, name: object) -> dict[str, Any]:
    """Return the fields that each line has, in front of its own."""
    release, instance = _origin()
    return {
        "timestamp": stamp, "level": level, "component": component, "version": release, "instance": instance,
        "message": to_plain(name),
    }  # fmt: skip


def json_renderer(component: str, line_bytes_max: int) -> LogRenderer:
    """Return the renderer of JSON lines. The constant part of a line is encoded once per level and event name."""
    stamp = Clock().stamp
    _origin()  # a process without a free file cannot read it later

    @lru_cache(maxsize=HEADS_CACHED_MAX)
    def constant_part(level: str, name: str) -> bytes:
        """Return the part of a line between its timestamp and its own fields."""
        return _encode(_head(component, "", level, name)).removeprefix(b'{"timestamp":""')[:-1] + b","

    def render(level: str, name: object, fields: LogFields) -> bytes:
        now = stamp(time.time())
        if fields and type(name) is str and _HEAD_NAMES.isdisjoint(fields):
            try:
                line = b'{"timestamp":"%b"%b%b\n' % (now.encode(), constant_part(level, name), _encode(fields)[1:])
            except ValueError:  # as in `_render`
                line = b"@"
            if len(line) <= line_bytes_max and b"@" not in line:
                return line
        return _render({**_head(component, now, level, name), **fields}, line_bytes_max - 1)

    return render


def _render(line: dict[str, Any], fit: int) -> bytes:
    try:
        encoded = _encode(line)
    except ValueError:  # a lone surrogate, which UTF-8 cannot encode
        line = {_utf8(name): _utf8(str(value)) for name, value in line.items()}
        encoded = _encode(line)
    # Redacted text always contains an @: an e-mail address, or a URL with user and password.
    if b"@" in encoded:
        line = scrub(line)
        encoded = _encode(line)
    return (encoded if len(encoded) <= fit else _shorten(line, fit)) + b"\n"


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _shorten(line: Mapping[str, Any], fit: int) -> bytes:
    """Return a line of at most `fit` bytes: truncate the longest fields and list their names in `truncated`."""
    length_max = fit // 2
    while length_max >= 32:
        truncated: list[str] = []
        shorter = {name: _truncate(name, value, length_max, truncated) for name, value in line.items()}
        encoded = _encode({**shorter, "truncated": truncated})
        if len(encoded) <= fit:
            return encoded
        length_max //= 2
    ids = {name: _truncate(name, line[name], 32, []) for name in _NEVER_DROPPED if name in line}
    return _encode({**ids, "truncated": ["*"]})


def _truncate(name: str, value: object, length_max: int, truncated: list[str]) -> object:
    text = value if isinstance(value, str) else _encode(value).decode()
    if len(text) <= length_max:
        return value
    truncated.append(name[:64])
    return text[: length_max - 1] + "…"


def readable_renderer(component: str) -> LogRenderer:
    """Return the renderer for a terminal: colored text, with the traceback on separate lines."""
    stamp = Clock().stamp
    _origin()  # as above

    def render(level: str, name: object, fields: LogFields) -> bytes:
        line = scrub({**_head(component, stamp(time.time()), level, name), **fields})
        del line["version"], line["instance"]
        stack = line.pop("error_stack", "")
        return f"{_console(None, '', line)}\n{stack}".encode("utf-8", "replace")

    return render


_console = structlog.dev.ConsoleRenderer(colors=True, timestamp_key="timestamp", event_key="message", pad_event_to=20)


class Clock:
    """Formats timestamps such as `2026-11-20T08:15:30.042Z`. Caches the text of the current second."""

    def __init__(self) -> None:
        self.second = -1
        self.prefix = ""

    def stamp(self, now: float) -> str:
        """Return a time, in seconds since the epoch, as text."""
        second = int(now)
        if second != self.second:
            self.prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self.second = second
        return f"{self.prefix}.{int((now - second) * 1000):03d}Z"
