"""What a sender signs: a template over {id}, {timestamp} and {body} and fixed text, such as `v0:{timestamp}:{body}`."""

import re

from service.errors import ConfigError

PLACEHOLDERS = ("id", "timestamp", "body")
_PLACEHOLDER = re.compile(r"\{(id|timestamp|body)\}")


class SignedTemplate:
    """A template taken apart once; `fill` joins the bytes that are signed."""

    __slots__ = ("_parts", "names", "seams")

    def __init__(self, parts: tuple[tuple[bytes, str], ...], names: frozenset[str], seams: tuple[str, ...]) -> None:
        self._parts = parts
        self.names = names
        self.seams = seams
        """The fixed text that parts the id from its neighbours."""

    def fill(self, id_text: str, timestamp: str, body: bytes) -> bytes:
        """Give the signed bytes; the body goes in as it is, never decoded."""
        # `{body}` alone, which most senders sign, and which may be a megabyte: not copied.
        if len(self._parts) == 1 and not self._parts[0][0]:
            return body
        values = {"id": id_text.encode(), "timestamp": timestamp.encode(), "body": body, "": b""}
        return b"".join([piece for fixed, name in self._parts for piece in (fixed, values[name])])


def parse_template(template: str, at: str) -> SignedTemplate:
    """Take a template apart.

    Raises:
        ConfigError: an unknown placeholder; {body} missing or doubled; {id} next to another placeholder, where bytes
            could be moved from one to the other without changing the signature.
    """
    fixed, names = _PLACEHOLDER.split(template)[::2], _PLACEHOLDER.findall(template)
    if any("{" in text or "}" in text for text in fixed):
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ConfigError(at, "a brace that opens no known placeholder", f"use only {known} and text without braces")
    if len(set(names)) != len(names) or "body" not in names:
        raise ConfigError(at, "each placeholder stands at most once, and {body} must", 'write it like "{id}.{body}"')
    if re.search(r"\{id\}\{|\}\{id\}", template):
        raise ConfigError(at, "{id} touches another placeholder, so the id could be changed", "put text between them")
    parts = tuple(zip((text.encode() for text in fixed), [*names, ""], strict=True))
    at_id = names.index("id") if "id" in names else len(fixed)
    seams = [fixed[place] for place in (at_id, at_id + 1) if 0 < place < len(names)]
    return SignedTemplate(parts if parts[-1][0] else parts[:-1], frozenset(names), tuple(seams))
