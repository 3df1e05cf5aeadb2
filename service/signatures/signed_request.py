"""Signed requests: the parts of a signature that `hmac`, `public_key` and `standard_webhooks` share.

The place of the signature, its encoding, the signed bytes, the id and the timestamp are configuration, so a new sender
needs a few lines of YAML.
"""

import binascii
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct

from service.bodies.forms import only_field, parse_form, parse_query
from service.bodies.pointers import parse_pointer
from service.bodies.values import text_at
from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.signatures.proofs import Encoding, Proof, decode_signature, encode_signature
from service.signatures.scheme import (
    ANY_TIME,
    SIGNATURES_MAX,
    HeaderName,
    NotVerified,
    Scheme,
    Tolerance,
    Verified,
    Verifier,
)
from service.signatures.templates import SignedTemplate, parse_template
from service.signatures.timestamps import TimestampFormat, check_fresh, parse_timestamp, write_timestamp

ID_CHARACTERS_MAX = 256
PARTS_MAX = 20
"""Maximum number of parts of a header that are read: one timestamp and the signatures."""
BODY_DEPTH_MAX = 64
"""Maximum nesting of a JSON body whose values are signed. The body is not verified yet."""

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
        template = self._check_fields(at)
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

    def _check_fields(self, at: str) -> SignedTemplate:
        places = [name for name in ("header", "query", "form", "pointer") if getattr(self, name)]
        if len(places) != 1:
            fix = "write one of header, query, form and pointer: the place of the signature"
            raise ConfigError(f"{at}.header", "is missing" if not places else "is not the only place", fix)
        if self.member and not self.header:
            raise ConfigError(f"{at}.member", "requires header", "name the header that holds JSON in base64")
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
        if self.timestamp_header and self.timestamp_pointer:
            raise ConfigError(f"{at}.timestamp_pointer", "contradicts timestamp_header", "remove one of them")
        for field in ("timestamp_prefix", "timestamp_position"):
            if getattr(self, field) and not self.timestamp_header:
                raise ConfigError(
                    f"{at}.{field}", "requires timestamp_header", f"add timestamp_header, or remove {field}"
                )
        if self.timestamp_prefix and self.timestamp_position:
            raise ConfigError(f"{at}.timestamp_position", "contradicts timestamp_prefix", "remove one of them")
        return template

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

    def _timestamp_reader(self) -> "TimestampReader | None":
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


class TimestampReader(Struct, frozen=True):
    """Place and format of the timestamp of one source."""

    header: str
    steps: tuple[str, ...] | None
    prefix: str
    position: int
    separator: str
    written: TimestampFormat

    def read(self, delivery: Delivery) -> tuple[str, float]:
        """Return the timestamp as it is signed, and as seconds since the epoch.

        With a prefix or a position, the timestamp is one part of the header.

        Raises:
            NotVerified: The timestamp is missing or malformed.
        """
        if self.steps is not None:
            text = text_at(delivery.body, self.steps, BODY_DEPTH_MAX)
        else:
            text = delivery.headers.get(self.header, "")
            if self.prefix or self.position:
                text = self._part(text)
        return text, parse_timestamp(text, self.written, self.header or "the body")

    def _part(self, text: str) -> str:
        parts = [part.strip() for part in text.split(self.separator, PARTS_MAX)]
        if self.position:
            return parts[self.position - 1] if self.position <= len(parts) else ""
        # Empty if two parts have the prefix, because parsers would select different ones.
        found = [part[len(self.prefix) :] for part in parts if part.startswith(self.prefix)]
        return found[0] if len(found) == 1 else ""


class SignatureVerifier(Struct, frozen=True, kw_only=True):
    """Verifier of one source. `header` is empty if the signature is in another place."""

    place: str
    header: str
    read_signature: Callable[[Delivery], str]
    proofs: tuple[tuple[str, Proof], ...]
    separator: str
    template: SignedTemplate
    id_header: str
    timestamp: TimestampReader | None
    tolerance_seconds: int

    def verify(self, delivery: Delivery) -> Verified:
        """Verify the signature, then the timestamp.

        Returns:
            The signed parts.

        Raises:
            NotVerified: 401 `not_verified`.
            Rejection: 401 `stale_timestamp`.
        """
        try:
            given = delivery.headers.get(self.header) if self.header else self.read_signature(delivery)
            if not given:
                raise NotVerified(f"Missing signature in {self.place}. Sign the delivery there.")
            id_text = read_id(delivery.headers, self.id_header) if self.id_header else ""
            timestamp, seconds = self.timestamp.read(delivery) if self.timestamp is not None else ("", 0.0)
            signed = self.template.fill(id_text, timestamp, delivery)
        except Rejection as rejection:
            if rejection.code == "malformed_payload":
                raise NotVerified(f"The signed parts cannot be read. {rejection.detail}") from None
            raise
        matched = False
        for prefix, proof in self.proofs:
            matched = matched or proof.matches(split(given, prefix, self.separator), signed)
        if not matched:
            raise NotVerified(f"No signature in {self.place} matches the delivery. Check the secret.")
        # Check the timestamp after the signature: an unsigned timestamp proves nothing.
        if timestamp:
            check_fresh(seconds, delivery.received_at, self.tolerance_seconds)
        if not id_text:
            return Verified(None, signed)
        return Verified(id_text, signed, any(separator in id_text for separator in self.template.separators))


def read_id(headers: Mapping[str, str], header: str) -> str:
    """Return the event id in `header`.

    Raises:
        NotVerified: The id is missing, too long, or has characters other than visible ASCII.
    """
    text = headers.get(header, "")
    if text and len(text) <= ID_CHARACTERS_MAX and text.isascii() and text.isprintable():
        return text
    raise NotVerified(
        f"Missing or malformed event id in {header}. Send 1 to {ID_CHARACTERS_MAX} visible ASCII characters."
    )


def split(given: str, prefix: str, separator: str) -> list[str]:
    """Return the signatures of a value, without prefix and quotes; none if the value is not ASCII."""
    if not given.isascii():
        return []
    if separator not in given and " " not in given and given[-1] not in '",':
        return [given[len(prefix) :]] if given.startswith(prefix) else []
    pieces = given.split(separator, SIGNATURES_MAX) if separator in given else [given]
    if " " in given and " " not in prefix:
        pieces = [word for piece in pieces for word in piece.split()]
    cut = len(prefix)
    return [piece.strip()[cut:].strip('",') for piece in pieces[:SIGNATURES_MAX] if piece.strip().startswith(prefix)]


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
