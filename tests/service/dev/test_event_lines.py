"""Lines that `waybill dev` prints for the log lines of its processes."""

from typing import Any

import pytest

from service.dev.event_lines import print_event_line

ATTEMPT = {
    "timestamp": "2026-11-30T12:00:00.000Z", "level": "info", "message": "attempt.finished", "event_id": "e1",
    "attempt": 1, "outcome": "matched", "source_name": "shop", "event_type": "order.paid", "platform": "erp",
    "record_kind": "customer", "record_id": "7", "actions_run": 2, "gone": False, "error_kind": None,
}  # fmt: skip
DELIVERY = {"message": "delivery.received", "source_name": "shop", "event_type": "order.paid", "http_status": 202}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (ATTEMPT, "shop|order.paid|erp:customer:7|matched|2|e1|"),
        (ATTEMPT | {"outcome": "unmatched", "actions_run": 0, "gone": True},
         "shop|order.paid|erp:customer:7|unmatched||e1|record missing"),
        (ATTEMPT | {"outcome": "retried", "actions_run": 1, "attempt": 3, "error_kind": "http_rejected",
                    "http_status": 500, "level": "warning"},
         "shop|order.paid|erp:customer:7|retried|1|e1|http_rejected  500  attempt 3"),
        (DELIVERY | {"delivery_status": "rejected", "reason": "not_verified", "http_status": 401},
         "shop|order.paid||rejected|||not_verified  401"),
        (DELIVERY | {"delivery_status": "duplicate", "event_id": "e1"}, "shop|order.paid||duplicate||e1|202"),
    ],
)  # fmt: skip
def test_an_event_is_a_row_of_columns(line: dict[str, Any], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_event_line(line)
    assert capsys.readouterr().out.removesuffix("\n").split("\t")[1:] == shown.split("|")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ({"message": "action.logged", "level": "warning", "rule_id": "short", "text": "60 missing"},
         "  short: 60 missing\n"),
        ({"message": "action.finished", "level": "warning", "rule_id": "short", "action_id": "claim",
          "error_kind": "connect"}, "  warning: action.finished  short  claim  connect\n"),
        ({"message": "process.failed", "level": "critical", "error_message": "no store"},
         "  critical: process.failed  no store\n"),
        ({"message": "store.key_damaged", "level": "error", "store_key": "wb:dead", "fix": "none is needed"},
         "  error: store.key_damaged  wb:dead  none is needed\n"),
        (DELIVERY | {"delivery_status": "queued", "event_id": "e1"}, ""),
        ({"message": "process.started", "level": "info"}, ""),
        ({"message": "connections.limited", "level": "warning"}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_texts_of_rules_and_warnings_are_lines_of_text(
    line: dict[str, Any], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_event_line(line)
    assert capsys.readouterr().out == shown
