"""Struct of a platform's JSON of a record: decoded from bytes, or filled from plain JSON. Pure.

One function builds the record from the struct, so that both ways agree. Members without a field are skipped.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from service.platforms.api.coercion import JsonObject, as_text
from service.platforms.api.conversions import Convert, ElementType, struct_of
from service.platforms.api.decoding import StructT, decode_typed, record_id, typed_decoder, unwrap
from service.platforms.api.generated_readers import ScalarReader, build_struct_reader
from service.platforms.api.responses import PlatformResponse, TypedRecord
from service.platforms.api.value_places import JSON
from service.records import Record, Timestamp


class ResponseStruct:
    """Struct of the JSON under `data` in a response, and the function that builds the record.

    Its members are text, objects, or Any for plain values. Bytes with a member of another type, or with one beside
    `data`, are left to plain JSON.
    """

    def __init__(self, structure: type[StructT], build: Callable[[StructT], Record]) -> None:
        self._build: Callable[[Any], Record] = build
        self._fill = _filler(structure)
        # The digest covers the whole response, so it must contain nothing but the record.
        envelope = msgspec.defstruct("Envelope", [("data", structure)], forbid_unknown_fields=True)
        self._decoder: msgspec.json.Decoder[Any] = typed_decoder(envelope)

    def read(self, reply: PlatformResponse) -> tuple[JsonObject, Record, Timestamp]:
        """Read a record from plain JSON. A member of another type is UNSET.

        Returns:
            The record's JSON, the record, and its modification time.

        Raises:
            NoRecordError: There is no object, or it has no id.
        """
        node = unwrap(reply.data, reply.status, wrapped=True)
        record = self._build(self._fill(node))
        record_id(record.id, reply.status)
        return node, record, record.updated_at

    def read_typed(self, body: bytes) -> TypedRecord | None:
        """Read a record from the bytes of a response; None if only its plain JSON can be read."""
        found = decode_typed(body, self._decoder)
        record = None if found is None else self._build(found.data)
        if record is None or not record.id:
            return None
        return TypedRecord(record, record.updated_at, hashlib.sha256(body).hexdigest(), ("data",))


def _filler(structure: type[Struct]) -> Convert:
    parts = [
        (field.name, ScalarReader(JSON.value((field.encode_name,)), _conversion(field.type)))
        for field in msgspec.structs.fields(structure)
    ]
    read = build_struct_reader(structure, parts)
    return lambda node: read(node, None)


def _conversion(annotation: object) -> Convert:
    kind = ElementType.of(annotation)
    inner = struct_of(kind)
    if inner is None:
        return as_text if str in kind.types else lambda value: value
    fill = _filler(inner)
    return lambda value: fill(value) if value.__class__ is dict else None if value is None else UNSET
