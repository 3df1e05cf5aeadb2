"""The rulebook in the store: one canonical JSON document, identified by the hash of its content.

The format is `{"format": 1, "file_rules": […], "api_rules": […]}`. Rules are sorted by id, keys are sorted, and
defaults are left out. So equal rules have equal bytes, and applying them again changes nothing. Rules of files are
separate, because they are read-only in the admin API.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import ConfigError
from service.rules.compiler.rule import reject_duplicates, shape_error
from service.rules.limits import DOCUMENT_BYTES_MAX, RULES_MAX
from service.rules.syntax import Rule

FORMAT = 1


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules, by their origin: files or the admin API."""

    format: int
    file_rules: tuple[Rule, ...] = ()
    api_rules: tuple[Rule, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of files, then the rules of the API."""
        return self.file_rules + self.api_rules


def write_document(file_rules: Sequence[Rule], api_rules: Sequence[Rule] = ()) -> bytes:
    """Encode the canonical document.

    Raises:
        ConfigError: there are too many rules, or the document is too large.
    """
    parts: dict[str, Any] = {"format": FORMAT}
    for name, rules in (("file_rules", file_rules), ("api_rules", api_rules)):
        parts[name] = sorted(rules, key=lambda rule: rule.id)
    document = msgspec.json.encode(parts, order="sorted")
    _check_size(document, len(file_rules) + len(api_rules))
    return document


def parse_document(document: bytes) -> Document:
    """Parse a document.

    Raises:
        ConfigError: it is not a rulebook, of another format, too large, or contains a duplicate rule id.
    """
    # Check the size before parsing.
    _check_size(document, 0)
    try:
        parsed = msgspec.json.decode(document, type=Document)
    except msgspec.ValidationError as error:
        raise shape_error(error, "rulebook") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        fix = "publish it with waybill rules apply"
        raise ConfigError("rulebook", f"is not a JSON document ({error})", fix) from None
    if parsed.format != FORMAT:
        fix = "publish the rules again with this version of waybill"
        raise ConfigError("rulebook.format", f"format {parsed.format} is not supported, {FORMAT} is", fix)
    _check_size(document, len(parsed.rules))
    reject_duplicates([rule.id for rule in parsed.rules], "rules", "rule")
    return parsed


def document_version(document: bytes) -> str:
    """Return the version of a document: the first 16 hex digits of the SHA-256 of its content."""
    return hashlib.sha256(document).hexdigest()[:16]


def _check_size(document: bytes, rules: int) -> None:
    if len(document) > DOCUMENT_BYTES_MAX:
        raise ConfigError("rulebook", f"is larger than {DOCUMENT_BYTES_MAX} bytes", "write fewer or shorter rules")
    if rules > RULES_MAX:
        raise ConfigError("rulebook", f"{rules} rules, at most {RULES_MAX} are allowed", "write fewer rules")
