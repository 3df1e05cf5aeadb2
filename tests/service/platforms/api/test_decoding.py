"""Decoding of responses: the limit of values."""

import pytest

from service.errors import PermanentError
from service.platforms.api.decoding import VALUES_MAX, decode_body


def test_response_with_too_many_values_is_rejected() -> None:
    body = b"[" + b"0," * (VALUES_MAX - 1) + b"0"
    assert decode_body(body + b"]", 200) == [0] * VALUES_MAX
    with pytest.raises(PermanentError, match="more than 1000000 values") as raised:
        decode_body(body + b",0]", 200)
    assert raised.value.kind == "response_too_large"
