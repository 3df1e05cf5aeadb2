"""Lines that `waybill dev` prints for the log lines of its processes."""

from typing import Any

import pytest

from service.dev.event_lines import format_event_line

ATTEMPT = {
    "timestamp": "2026-11-30T12:00:00.000Z", "level": "info", "message": "attempt.finished", "event_id": "e1",
    "attempt": 1, "outcome": "matched", "source_name": "shop", "event_type": "order.paid", "platform": "erp",
    "record_kind": "customer", "record_id": "7", "actions_run": 2, "gone": False, "error_kind": None,
}  # fmt: skip
DELIVERY = {"message": "delivery.received", "source_name": "shop", "event_type": "order.paid", "http_status": 202}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (ATTEMPT, "matched      shop  order.paid  erp:customer:7  2 effects  e1"),
        (ATTEMPT | {"outcome": "unmatched", "actions_run": 0, "gone": True},
         "unmatched    shop  order.paid  erp:customer:7  record deleted  e1"),
        (ATTEMPT | {"outcome": "retried", "actions_run": 1, "attempt": 3, "error_kind": "http_rejected",
                    "http_status": 500},
         "retried      shop  order.paid  erp:customer:7  1 effect  attempt 3  http_rejected  500  e1"),
        (DELIVERY | {"delivery_status": "rejected", "reason": "not_verified", "http_status": 401},
         "rejected     shop  order.paid  not_verified  401"),
        (DELIVERY | {"delivery_status": "duplicate", "event_id": "e1"}, "duplicate    shop  order.paid  202  e1"),
        ({"message": "action.logged", "level": "warning", "rule_id": "short", "text": "60 missing"},
         "log          short  60 missing"),
        ({"message": "action.finished", "level": "warning", "rule_id": "short", "action_id": "claim",
          "error_kind": "connect"}, "warning      action.finished  short  claim  connect"),
        ({"message": "process.failed", "level": "critical", "error_message": "no store"},
         "error        process.failed  no store"),
        (ATTEMPT | {"record_id": "a\x1b[2J"}, r"matched      shop  order.paid  erp:customer:a\x1b[2J  2 effects  e1"),
    ],
)  # fmt: skip
def test_a_line_is_shown_in_short_form(line: dict[str, Any], shown: str) -> None:
    text = format_event_line(line)
    assert text is not None
    assert text.plain[10:] == shown


@pytest.mark.parametrize(
    "line",
    [
        DELIVERY | {"delivery_status": "queued", "event_id": "e1"},
        {"message": "process.started", "level": "info"},
        {"message": "connections.limited", "level": "warning"},
        {},
    ],
)
def test_other_lines_are_not_shown(line: dict[str, Any]) -> None:
    assert format_event_line(line) is None
