"""Check of the headers that a rule reads against those that its sources store. Pure."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from service.config.sources import SourceConfig
from service.errors import ConfigError
from service.rules.delivery_fields import READABLE_HEADERS
from service.rules.syntax import Rule

_HEADER = re.compile(r"\bdelivery\.headers\.([a-z0-9-]{1,64})")


def check_headers(sources: Mapping[str, SourceConfig], rule: Rule, at: str) -> Iterator[ConfigError]:
    """Yield the headers that a rule reads and none of its sources stores, so that they would always be missing.

    Args:
        sources: The sources of waybill.yaml.
        rule: The rule.
        at: Its path, for errors.
    """
    named = [sources[name] for name in rule.sources if name in sources] if rule.sources else sources.values()
    stored = READABLE_HEADERS.union(*(source.headers for source in named))
    for name in sorted(set(_HEADER.findall(msgspec.json.encode(rule).decode())) - stored):
        fix = f"add headers: [{name}] to the source, or use one of {', '.join(sorted(stored))}"
        yield ConfigError(at, f"the header {name} is not stored with an event", fix)
