"""Signed requests: the parts of a signature that `hmac`, `public_key` and `standard_webhooks` share.

The place of the signature, its encoding, the signed bytes, the id and the timestamp are configuration, so a new sender
needs a few lines of YAML.
"""

import binascii
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from service.bodies.forms import only_field, parse_form, parse_query
from service.bodies.pointers import parse_pointer
from service.bodies.values import text_at
from service.errors import ConfigError
from service.events import Delivery
from service.signatures.proofs import Encoding, Proof, decode_signature, encode_signature
from service.signatures.scheme import (
    ANY_TIME,
    HeaderName,
    Scheme,
    Tolerance,
    Verifier,
)
from service.signatures.signature_verifier import BODY_DEPTH_MAX, PARTS_MAX, SignatureVerifier, TimestampReader
from service.signatures.templates import SignedTemplate, parse_template
from service.signatures.timestamps import TimestampFormat, write_timestamp

Prefix = Annotated[
    str, Meta(pattern=r"^([!-+.-:<-~-][ -+.-:<-~-]*)?\Z", max_length=64, description="ASCII text without , and ;")
]
FieldName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._~\[\]-]{1,64}\Z", description="the name of a field, such as signature")
]
ValuePointer = Annotated[
    str, Meta(pattern=r"^(/([^~/]|~[01])*)+\Z", max_length=500, description="a JSON pointer (RFC 6901)")
]
Address = Annotated[
    str,
    Meta(pattern=r"^https?://[^\s{}]{1,500}\Z", description="an address such as https://hooks.example.com/webhooks/x"),
]


class SignedRequest(Scheme, frozen=True, kw_only=True):
    """Base class of schemes with a signature. See `Hmac` for the meaning of the fields."""

    header: HeaderName | None = None
    query: FieldName | None = None
    form: FieldName | None = None
    pointer: ValuePointer | None = None
    member: FieldName | None = None
    encoding: Encoding = "hex"
    prefix: Prefix = ""
    separator: Literal[",", ";", ":", "|"] = ","
    signed: str = "{body}"
    url: Address | None = None
    id_header: HeaderName | None = None
    timestamp_header: HeaderName | None = None
    timestamp_pointer: ValuePointer | None = None
    timestamp_prefix: Prefix = ""
    timestamp_position: Annotated[int, Meta(ge=1, le=PARTS_MAX, description="a position from 1")] | None = None
    timestamp_format: TimestampFormat = "seconds"
    tolerance_seconds: Tolerance = 300

    def build_proof(self, environ: Mapping[str, str], at: str, /) -> Proof:
        """Return the proof with the keys of the source.

        Raises:
            ConfigError: A key is missing or malformed.
            NotImplementedError: The subclass has no `build_proof`.
        """
        raise NotImplementedError(f"{type(self).__name__}.build_proof is missing: implement it")

    def make_signature(self, secret: str, signed: bytes, /) -> bytes:
        """Return the signature of a test delivery.

        Raises:
            ConfigError: The secret is malformed.
            NotImplementedError: The subclass has no `make_signature`.
        """
        raise NotImplementedError(f"{type(self).__name__}.make_signature is missing: implement it")

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Return the verifier.

        Raises:
            ConfigError: A key is missing, the template is not valid, or a header and the template contradict.
        """
        template = self.check_fields(at)
        return SignatureVerifier(
            place=self._place_name(),
            header="" if self.member else (self.header or "").lower(),
            read_signature=self._signature_reader(),
            proofs=((self.prefix, self.build_proof(environ, at)),),
            separator=self.separator,
            template=template,
            id_header=(self.id_header or "").lower(),
            timestamp=self._timestamp_reader(),
            tolerance_seconds=self.tolerance_seconds,
        )

    def check_fields(self, at: str) -> SignedTemplate:
        """Return the parsed template of the signed bytes. `at` is the path of the scheme, for errors.

        Raises:
            ConfigError: The template is not valid, or two fields contradict.
        """
        self._check_place(at)
        template = parse_template(self.signed, f"{at}.signed", self.url, BODY_DEPTH_MAX)
        timed = "timestamp_pointer" if self.timestamp_pointer else "timestamp_header"
        for name, field in (("id", "id_header"), ("timestamp", timed)):
            place = getattr(self, field)
            if place and name not in template.names:
                fix = f"add {{{name}}} to {at}.signed, or remove {field}"
                raise ConfigError(f"{at}.{field}", "is not signed", fix)
            if not place and name in template.names:
                fix = f"name the header with the {name}, or remove {{{name}}} from {at}.signed"
                raise ConfigError(f"{at}.{field}", "is missing", fix)
        self._check_timestamp(at)
        return template

    def _check_place(self, at: str) -> None:
        places = [name for name in ("header", "query", "form", "pointer") if getattr(self, name)]
        if len(places) != 1:
            fix = "write one of header, query, form and pointer: the place of the signature"
            raise ConfigError(f"{at}.header", "is missing" if not places else "is not the only place", fix)
        if self.member and not self.header:
            raise ConfigError(f"{at}.member", "requires header", "name the header that holds JSON in base64")

    def _check_timestamp(self, at: str) -> None:
        if self.timestamp_header and self.timestamp_pointer:
            raise ConfigError(f"{at}.timestamp_pointer", "contradicts timestamp_header", "remove one of them")
        for field in ("timestamp_prefix", "timestamp_position"):
            if getattr(self, field) and not self.timestamp_header:
                raise ConfigError(
                    f"{at}.{field}", "requires timestamp_header", f"add timestamp_header, or remove {field}"
                )
        if self.timestamp_prefix and self.timestamp_position:
            raise ConfigError(f"{at}.timestamp_position", "contradicts timestamp_prefix", "remove one of them")

    def sign_delivery(self, delivery: Delivery, secret: str, event_id: str, /) -> Delivery:
        """Return a delivery with its id, timestamp and signature, as the sender sends it.

        The time of the delivery is its timestamp, unless the timestamp is in the body.

        Raises:
            ConfigError: The secret or the template is malformed.
        """
        headers, names = dict(delivery.headers), (self.id_header or "", self.timestamp_header or "")
        stamp = "" if self.timestamp_pointer else write_timestamp(delivery.received_at, self.timestamp_format)
        if self.id_header:
            headers[names[0].lower()] = event_id
        if self.timestamp_header:
            headers[names[1].lower()] = self.timestamp_prefix + stamp
        draft = msgspec.structs.replace(delivery, headers=headers)
        if self.pointer:
            draft = msgspec.structs.replace(draft, body=_put(draft.body, self.pointer, ""))
        if self.timestamp_pointer:
            stamp = text_at(draft.body, parse_pointer(self.timestamp_pointer), BODY_DEPTH_MAX)
        template = parse_template(self.signed, "signed", self.url, BODY_DEPTH_MAX)
        signature = self.make_signature(secret, template.fill(event_id, stamp, draft))
        return self._place(draft, self.prefix + encode_signature(signature, self.encoding))

    def sign(self, body: bytes, secret: str, event_id: str, timestamp: int, /) -> dict[str, str]:
        """Return the headers with signature, id and timestamp."""
        return dict(self.sign_delivery(Delivery("", {}, body, timestamp), secret, event_id).headers)

    def _place(self, draft: Delivery, signature: str) -> Delivery:
        if self.pointer:
            return msgspec.structs.replace(draft, body=_put(draft.body, self.pointer, signature))
        if self.query:
            return msgspec.structs.replace(
                draft, query="&".join(filter(None, [draft.query, f"{self.query}={signature}"]))
            )
        if self.form:
            return msgspec.structs.replace(draft, body=draft.body + f"&{self.form}={signature}".encode())
        if self.member:
            signature = binascii.b2a_base64(msgspec.json.encode({self.member: signature}), newline=False).decode()
        name = (self.header or "").lower()
        others = draft.headers.get(name) if name == (self.timestamp_header or "").lower() else None
        value = f"{others}{self.separator}{signature}" if others else signature
        return msgspec.structs.replace(draft, headers={**draft.headers, name: value})

    @property
    def signed_parts(self) -> frozenset[str]:
        """Signed parts: `id`, `timestamp` and `body`."""
        names, parts = parse_template(self.signed, "signed", self.url or "https://x", BODY_DEPTH_MAX), set[str]()
        parts |= names.names & {"id", "timestamp"}
        return frozenset(parts | ({"body"} if names.covers_body else set()))

    def warnings(self, _environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return warnings about a disabled timestamp check, and about a body that is not signed."""
        found = [ANY_TIME] if "timestamp" in self.signed_parts and not self.tolerance_seconds else []
        if "body" not in self.signed_parts:
            found.append("signed does not contain {body}: the rest of the body is not verified")
        return tuple(found)

    def _place_name(self) -> str:
        if self.header:
            return self.header.lower()
        return f"the query parameter {self.query}" if self.query else self.pointer or f"the field {self.form}"

    def _signature_reader(self) -> Callable[[Delivery], str]:
        query, form, member, header = self.query, self.form, self.member, (self.header or "").lower()
        if query:
            return lambda delivery: parse_query(delivery.query).get(query, "")
        if form:
            return lambda delivery: only_field(parse_form(delivery.body), form)
        if self.pointer:
            steps = parse_pointer(self.pointer)
            return lambda delivery: text_at(delivery.body, steps, BODY_DEPTH_MAX)
        if member:
            return lambda delivery: _member(delivery.headers.get(header, ""), member)
        return lambda delivery: delivery.headers.get(header, "")

    def _timestamp_reader(self) -> TimestampReader | None:
        if not self.timestamp_header and not self.timestamp_pointer:
            return None
        return TimestampReader(
            (self.timestamp_header or "").lower(),
            None if self.timestamp_pointer is None else parse_pointer(self.timestamp_pointer),
            self.timestamp_prefix,
            self.timestamp_position or 0,
            self.separator,
            self.timestamp_format,
        )


def _member(header: str, member: str) -> str:
    """Return a member of the JSON object that a header holds in base64; empty if it is missing."""
    try:
        data: dict[str, Any] = msgspec.json.decode(decode_signature(header, "base64"), type=dict[str, Any])
    except (ValueError, RecursionError):
        return ""
    value = data.get(member)
    return value if isinstance(value, str) else ""


def _put(body: bytes, pointer: str, value: str) -> bytes:
    """Return a JSON body with a text at a pointer. Objects on the path are created."""
    document: Any = msgspec.json.decode(body)
    *steps, last = parse_pointer(pointer)
    inner: Any = document
    for step in steps:
        inner = cast("Any", inner[int(step)] if isinstance(inner, list) else inner.setdefault(step, {}))
    inner[last] = value
    return msgspec.json.encode(document)
