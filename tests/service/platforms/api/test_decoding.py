"""Decoding of responses: the limit of values."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from service.errors import PermanentError
from service.platforms.api.decoding import (
    VALUES_MAX,
    VALUES_PER_CALL_MAX,
    _encoded_pieces,
    decode_body,
    digest_of,
)


def test_response_with_too_many_values_is_rejected() -> None:
    body = b"[" + b"0," * (VALUES_MAX - 1) + b"0"
    assert decode_body(body + b"]", 200) == [0] * VALUES_MAX
    with pytest.raises(PermanentError, match="more than 1000000 values") as raised:
        decode_body(body + b",0]", 200)
    assert raised.value.kind == "response_too_large"


@pytest.mark.parametrize("depth", [0, 4])
@pytest.mark.parametrize("is_object", [True, False], ids=["object", "list"])
def test_one_call_encodes_few_values(*, depth: int, is_object: bool) -> None:
    numbers = range(5 * VALUES_PER_CALL_MAX)
    state: Any = {f"{number:06d}": [number] for number in numbers} if is_object else [[number] for number in numbers]
    for _ in range(depth):
        state = {"inner": [state, 1]}
    pieces = list(_encoded_pieces(state))
    assert max(piece.count(b"[") for piece in pieces) <= VALUES_PER_CALL_MAX
    assert len(pieces) < 100
    assert b"".join(pieces) == msgspec.json.encode(state, order="deterministic")


def test_flat_object_with_many_members_is_decoded_and_hashed_as_a_small_one() -> None:
    members = {f'key {number} "': [number, "\\"] for number in range(2 * VALUES_PER_CALL_MAX)}
    body = json.dumps({"data": members | {"total": 1.5}}).encode()
    decoded = decode_body(body, 200)
    assert decoded == {"data": members | {"total": Decimal("1.5")}}
    assert digest_of(decoded, large=True) == digest_of(
        {"data": dict(reversed(members.items())) | {"total": Decimal("1.5")}}
    )
