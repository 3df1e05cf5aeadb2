"""Valid and invalid traceparent headers (W3C Trace Context)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ingestion.trace_context import continue_trace

ID = "01a1fb72fa5578f48fbedb1ca4d319de"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "00",
        f"00-{TRACE}-00f067aa0ba902b7",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f" 00-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01\n",
        f"00-{TRACE}-00f067aa0ba902b7-01, 00-{TRACE}-00f067aa0ba902b7-01",
        f"01-{TRACE}-00f067aa0ba902b7-01-{'x' * 200}",
    ],
)
def test_invalid_traceparent_is_replaced_by_the_delivery_id(sent: str | None) -> None:
    assert continue_trace(sent, ID) == (f"00-{ID}-8fbedb1ca4d319de-00", ID)


@pytest.mark.parametrize("sent", [f"00-{TRACE}-00f067aa0ba902b7-01", f"cc-{TRACE}-00f067aa0ba902b7-01-what-comes"])
def test_valid_traceparent_is_kept_even_of_later_versions(sent: str) -> None:
    assert continue_trace(sent, ID) == (sent, TRACE)


@given(st.text(alphabet="0123456789abcdef-f", max_size=140))
def test_result_is_valid_for_any_input(sent: str) -> None:
    traceparent, trace_id = continue_trace(sent, ID)
    assert continue_trace(traceparent, "f" * 32) == (traceparent, trace_id)
