"""Lines that `waybill dev` prints: one for each attempt of an event, rejected delivery, message of a rule and warning.

They are built from the log lines of the service and of the worker.
"""

from datetime import datetime

from rich.text import Text

from service.dev.processes import LogLine
from service.plurals import count_noun

STYLES = {
    "matched": "green",
    "resolved": "green",
    "dead_lettered": "bold red",
    "rejected": "bold red",
    "error": "bold red",
    "retried": "yellow",
    "deferred": "yellow",
    "lost": "yellow",
    "duplicate": "yellow",
    "warning": "yellow",
    "log": "cyan",
}
"""Style by the first word of a line; other lines are dim."""

QUEUED = "queued"
"""State of deliveries without a line: their events get lines."""
NOT_SHOWN = frozenset({"connections.limited"})
"""Warnings about the machine that need no action in development."""
WARNING_LEVELS = frozenset({"warning", "error", "critical"})
WORD_WIDTH = 13
DETAIL_FIELDS = ("rule_id", "action_id", "platform", "path", "error_kind", "http_status", "reason", "error_message")


def format_event_line(line: LogLine) -> Text | None:
    """Return the line to print for a log line, or None for a log line that is not shown."""
    match line.get("message"):
        case "attempt.finished":
            return _join(line, str(line["outcome"]), _attempt_parts(line), str(line["event_id"]))
        case "delivery.received":
            status = str(line["delivery_status"])
            return None if status == QUEUED else _join(line, status, _delivery_parts(line), _event_of(line))
        case "action.logged":
            return _join(line, "log", [str(line.get("rule_id", "")), str(line["text"])], "")
        case _:
            return _warning(line)


def _warning(line: LogLine) -> Text | None:
    if line.get("level") not in WARNING_LEVELS or line.get("message") in NOT_SHOWN:
        return None
    details = [str(line[name]) for name in DETAIL_FIELDS if line.get(name)]
    return _join(line, "warning" if line["level"] == "warning" else "error", [str(line["message"]), *details], "")


def _attempt_parts(line: LogLine) -> list[str]:
    record = ":".join(str(line.get(name, "")) for name in ("platform", "record_kind", "record_id"))
    parts = [str(line.get("source_name", "")), str(line.get("event_type", "")), record]
    if line.get("actions_run"):
        parts.append(count_noun(int(line["actions_run"]), "effect"))
    if line.get("gone"):
        parts.append("record deleted")
    if int(line.get("attempt", 1)) > 1:
        parts.append(f"attempt {line['attempt']}")
    return parts + [str(line[name]) for name in ("error_kind", "http_status") if line.get(name)]


def _delivery_parts(line: LogLine) -> list[str]:
    names = ("source_name", "event_type", "reason", "http_status")
    return [str(line[name]) for name in names if line.get(name)]


def _event_of(line: LogLine) -> str:
    return str(line.get("event_id") or "")


def _join(line: LogLine, word: str, parts: list[str], event_id: str) -> Text:
    text = Text().append(f"{_local_time(line)}  ", style="dim")
    text.append(f"{word:<{WORD_WIDTH}}", style=STYLES.get(word))
    text.append("  ".join(map(_printable, parts)))
    if event_id:
        text.append(f"  {event_id}", style="dim")
    return text


def _printable(text: str) -> str:
    """Escape control characters, which may come from a sender."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _local_time(line: LogLine) -> str:
    try:
        moment = datetime.fromisoformat(str(line["timestamp"]))
    except (KeyError, ValueError):
        return "        "
    return moment.astimezone().strftime("%H:%M:%S")
