"""The rulebook as the store keeps it: one canonical JSON document, named by its content's hash.

`{"format": 1, "file_rules": […], "api_rules": […]}`, each sorted by id, keys sorted, defaults left out, so that the
same rules always give the same bytes and applying them again changes nothing. Where rules come from is kept apart
because rules from files are read-only in the admin API.
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
    """All rules, by where they come from."""

    format: int
    file_rules: tuple[Rule, ...] = ()
    api_rules: tuple[Rule, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those of files, then those of the API."""
        return self.file_rules + self.api_rules


def write_document(file_rules: Sequence[Rule], api_rules: Sequence[Rule] = ()) -> bytes:
    """Write the canonical document.

    Raises:
        ConfigError: too many rules, or more than the document may hold.
    """
    parts: dict[str, Any] = {"format": FORMAT}
    for name, rules in (("file_rules", file_rules), ("api_rules", api_rules)):
        parts[name] = sorted(rules, key=lambda rule: rule.id)
    document = msgspec.json.encode(parts, order="sorted")
    _check_size(document, len(file_rules) + len(api_rules))
    return document


def parse_document(document: bytes) -> Document:
    """Read a document back.

    Raises:
        ConfigError: it is none, of another format, too large, or two rules have one id.
    """
    # Before anything of it is read.
    _check_size(document, 0)
    try:
        parsed = msgspec.json.decode(document, type=Document)
    except msgspec.ValidationError as error:
        raise shape_error(error, "rulebook") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ConfigError("rulebook", f"is no JSON document ({error})", "publish it with waybill rules apply") from None
    if parsed.format != FORMAT:
        fix = "publish the rules again with this version of waybill"
        raise ConfigError("rulebook.format", f"{parsed.format} is not known here, {FORMAT} is", fix)
    _check_size(document, len(parsed.rules))
    reject_duplicates([rule.id for rule in parsed.rules], "rules", "rule")
    return parsed


def document_version(document: bytes) -> str:
    """Name a document by its content: the first 16 hex digits of its sha256."""
    return hashlib.sha256(document).hexdigest()[:16]


def _check_size(document: bytes, rules: int) -> None:
    if len(document) > DOCUMENT_BYTES_MAX:
        raise ConfigError("rulebook", f"is larger than {DOCUMENT_BYTES_MAX} bytes", "write fewer or shorter rules")
    if rules > RULES_MAX:
        raise ConfigError("rulebook", f"{rules} rules, at most {RULES_MAX} are allowed", "write fewer rules")
