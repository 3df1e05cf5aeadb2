"""Log lines of an event: those in the folder WAYBILL_LOG_FOLDER, and the page of the log store, WAYBILL_LOG_URL.

The log of other pods is not read: a process writes its lines to its standard output only.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

FILES_MAX = 16
"""Files that are searched: those that changed last."""
FILE_BYTES_MAX = 4 << 20
"""Bytes at the end of each file that are searched."""
LINES_MAX = 300
"""Lines that are shown: the last ones."""
LINE_BYTES_MAX = 64 << 10
RANGE_MARGIN_MS = 60_000
"""Time before the receipt and after the end of an event that the page of the log store shows."""

_SHOWN = frozenset({"timestamp", "level", "message", "event_id", "component", "version", "instance", "weight"})
"""Fields with a column of their own, and fields that say nothing about the event."""


class LogLine(Struct, frozen=True):
    """Line of the log of a process. `fields` are the other fields, as text."""

    process: str
    timestamp: str
    level: str
    message: str
    fields: Mapping[str, str]


class FoundLines(Struct, frozen=True):
    """Lines of an event by their time. `complete` is False if a limit ended the search."""

    lines: list[LogLine]
    complete: bool


def read_event_lines(folder: Path, event_id: str) -> FoundLines:
    """Read the lines of an event from the ends of the files `*.jsonl`.

    Files that cannot be read are skipped, and so are devices and pipes, which would never end.
    """
    paths = (path for path in folder.glob("*.jsonl") if not path.exists() or path.is_file())
    files = sorted(((_changed_at(path), path) for path in paths), reverse=True)
    found: list[LogLine] = []
    complete = len(files) <= FILES_MAX
    for _, path in files[:FILES_MAX]:
        try:
            # The last lines of a file, one more than are shown.
            lines = deque(_lines_of(path, event_id), LINES_MAX + 1)
            complete = complete and path.stat().st_size <= FILE_BYTES_MAX
        except OSError:
            complete = False
            continue
        found += lines
    found.sort(key=lambda line: line.timestamp)
    return FoundLines(found[-LINES_MAX:], complete and len(found) <= LINES_MAX)


def event_log_url(template: str, event_id: str, received_at: str | None, ended_at: str | None, now_ms: int) -> str:
    """Return the page of the log store with the lines of an event. An event that has not ended has lines until now."""
    from_ms = _to_ms(received_at) - RANGE_MARGIN_MS if received_at else 0
    to_ms = _to_ms(ended_at) + RANGE_MARGIN_MS if ended_at else now_ms
    values = {"{event_id}": quote(event_id, safe=""), "{from_ms}": str(from_ms), "{to_ms}": str(to_ms)}
    for name, value in values.items():
        template = template.replace(name, value)
    return template


def _lines_of(path: Path, event_id: str) -> Iterator[LogLine]:
    needle = json.dumps(event_id).encode()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - FILE_BYTES_MAX, 0))
        if size > FILE_BYTES_MAX:
            file.readline(LINE_BYTES_MAX)  # the rest of a line
        read = 0
        while read < FILE_BYTES_MAX and (text := file.readline(LINE_BYTES_MAX)):
            read += len(text)
            if needle in text and (line := _parse(path.stem, text)) is not None:
                yield line


def _parse(process: str, text: bytes) -> LogLine | None:
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    named = {name: str(fields.get(name, "")) for name in ("timestamp", "level", "message")}
    # The trace of most events has their id.
    repeated = (None, fields.get("event_id"))
    others = {name: _to_text(value) for name, value in fields.items() if name not in _SHOWN and value not in repeated}
    return LogLine(process, **named, fields=others)


def _to_text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _to_ms(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp() * 1000)
