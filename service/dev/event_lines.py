"""Lines that `waybill dev` prints: one for each attempt of an event, rejected delivery, message of a rule and warning.

They are built from the log lines of the service and of the worker. Events have the columns of `waybill tail`.
"""

import sys
from datetime import datetime

from service.cli.output import print_row, print_text
from service.cli.tail import WIDTHS as TAIL_WIDTHS
from service.dev.processes import LogLine
from service.events import SHORT_ID_CHARACTERS

WIDTHS = {
    "time": 8,
    **{name: width for name, width in TAIL_WIDTHS.items() if name not in {"age", "id"}},
    "id": SHORT_ID_CHARACTERS,
    "detail": 0,
}

QUEUED = "queued"
"""State of deliveries without a line: their events get lines."""
NOT_SHOWN = frozenset({"connections.limited", "config.rejected"})
"""Warnings about the machine that need no action in development, and mistakes that `waybill dev` prints itself."""
COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}
"""Colours of warnings by their level."""
LOG_COLOUR = "cyan"
ATTEMPT_DETAILS = ("error_kind", "http_status")
DELIVERY_DETAILS = ("reason", "http_status")
WARNING_DETAILS = (
    "message", "source_name", "rule_id", "action_id", "platform", "destination_name", "path", "store_key", "proxy_host",
    "error_kind", "http_status", "reason", "error_message", "fix",
)  # fmt: skip


def print_event_line(line: LogLine) -> None:
    """Print the line for a log line, or nothing for a log line that is not shown."""
    cells = event_cells(line)
    if cells is not None:
        print_row(WIDTHS, cells)
        return
    level = str(line.get("level", ""))
    if line.get("message") == "action.logged":
        print_text(f"{_local_time(line)}  {line.get('rule_id', '')}: {line['text']}", colour=LOG_COLOUR)
    elif level in COLOURS and line.get("message") not in NOT_SHOWN and line.get("message") not in EVENT_LINES:
        print_text(f"{_local_time(line)}  {level}: {_join(line, WARNING_DETAILS)}", colour=COLOURS[level])


EVENT_LINES = frozenset({"attempt.finished", "delivery.received"})


def event_cells(line: LogLine) -> list[str] | None:
    """Return the cells of an attempt or of a delivery that is not queued, None for another log line."""
    if line.get("message") not in EVENT_LINES or line.get("delivery_status") == QUEUED:
        return None
    is_attempt = line["message"] == "attempt.finished"
    event_id = str(line.get("event_id") or "")
    details = [_join(line, ATTEMPT_DETAILS if is_attempt else DELIVERY_DETAILS)]
    if line.get("gone"):
        details.append("record missing")
    if int(line.get("attempt", 1)) > 1:
        details.append(f"attempt {line['attempt']}")
    return [
        _local_time(line),
        str(line.get("source_name", "")),
        str(line.get("event_type") or ""),
        ":".join(str(line.get(name, "")) for name in ("platform", "record_kind", "record_id")) if is_attempt else "",
        str(line["outcome"] if is_attempt else line["delivery_status"]),
        str(line.get("actions_run") or ""),
        event_id[:SHORT_ID_CHARACTERS] if sys.stdout.isatty() else event_id,
        "  ".join(filter(None, details)),
    ]


def _join(line: LogLine, names: tuple[str, ...]) -> str:
    return "  ".join(str(line[name]) for name in names if line.get(name))


def _local_time(line: LogLine) -> str:
    try:
        moment = datetime.fromisoformat(str(line["timestamp"]))
    except (KeyError, ValueError):
        return ""
    return moment.astimezone().strftime("%H:%M:%S")
