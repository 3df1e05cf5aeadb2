"""Templates of signed bytes: {id}, {timestamp}, {body} and fixed text, such as `v0:{timestamp}:{body}`."""

import re

from service.errors import ConfigError

PLACEHOLDERS = ("id", "timestamp", "body")
_PLACEHOLDER = re.compile(r"\{(id|timestamp|body)\}")


class SignedTemplate:
    """Parsed template."""

    __slots__ = ("_parts", "names", "separators")

    def __init__(
        self, parts: tuple[tuple[bytes, str], ...], names: frozenset[str], separators: tuple[str, ...]
    ) -> None:
        self._parts = parts
        self.names = names
        self.separators = separators
        """Fixed text before and after the id."""

    def fill(self, id_text: str, timestamp: str, body: bytes) -> bytes:
        """Return the signed bytes. The body is not decoded."""
        # Most senders sign `{body}` only: avoid copying it.
        if len(self._parts) == 1 and not self._parts[0][0]:
            return body
        values = {"id": id_text.encode(), "timestamp": timestamp.encode(), "body": body, "": b""}
        return b"".join([piece for fixed, name in self._parts for piece in (fixed, values[name])])


def parse_template(template: str, at: str) -> SignedTemplate:
    """Parse a template. `at` is its path in waybill.yaml, for error messages.

    Returns:
        The parsed template.

    Raises:
        ConfigError: A placeholder is unknown, missing or repeated, or {id} is adjacent to another placeholder. Then
            bytes could be moved from one value to the other without a change of the signature.
    """
    fixed, names = _PLACEHOLDER.split(template)[::2], _PLACEHOLDER.findall(template)
    if any("{" in text or "}" in text for text in fixed):
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ConfigError(at, "has an unknown placeholder", f"use only {known} and text without braces")
    if len(set(names)) != len(names) or "body" not in names:
        fix = 'use {body} once and the others at most once, such as "{id}.{body}"'
        raise ConfigError(at, "{body} is missing, or a placeholder is repeated", fix)
    if re.search(r"\{id\}\{|\}\{id\}", template):
        reason = "{id} is adjacent to another placeholder, so the id could be changed"
        raise ConfigError(at, reason, "separate them with text")
    parts = tuple(zip((text.encode() for text in fixed), [*names, ""], strict=True))
    at_id = names.index("id") if "id" in names else len(fixed)
    separators = [fixed[index] for index in (at_id, at_id + 1) if 0 < index < len(names)]
    return SignedTemplate(parts if parts[-1][0] else parts[:-1], frozenset(names), tuple(separators))
