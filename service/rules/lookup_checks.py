"""Check of the look-ups of a rule against the accounts of waybill.yaml. Pure."""

from collections.abc import Iterator, Sequence

from msgspec import UNSET

from service.config import Config
from service.config.decoding import did_you_mean
from service.errors import ConfigError
from service.records import DeclaredRecord
from service.rules.enums import check_literal, text_literals
from service.rules.syntax import Rule


def check_lookups(config: Config, rule: Rule, at: str) -> Iterator[ConfigError]:
    """Yield the look-ups whose account is not configured, or cannot fetch the kind. `at` is the path of the rule."""
    for name, lookup in rule.with_.items():
        path = f"{at}.with.{name}"
        if lookup.platform is not UNSET and lookup.platform not in config.platforms:
            fix = did_you_mean(lookup.platform[:64], config.platforms)
            yield ConfigError(f"{path}.platform", f"no account {lookup.platform[:64]!r} under platforms:", fix)
            continue
        if lookup.kind not in config.record_types:  # the compiler reports it
            continue
        accounts = accounts_of(config, rule) if lookup.platform is UNSET else [lookup.platform]
        yield from _check_values(config, rule, name, accounts, at)
        for account in accounts:
            if lookup.kind not in config.platforms[account].record_kinds():
                others = sorted(other for other, each in config.platforms.items() if lookup.kind in each.record_kinds())
                fix = f"add platforms.{account}.records.{lookup.kind}"
                if others:
                    fix = f"write platform: {others[0]}, or {fix}"
                yield ConfigError(f"{path}.kind", f"the account {account} has no {lookup.kind} to fetch", fix)


def accounts_of(config: Config, rule: Rule) -> Sequence[str]:
    """Return the accounts whose records the rule is about: those of its sources, or all that have its kind."""
    named = [config.sources[source].platform for source in rule.sources if source in config.sources]
    accounts = config.platforms.keys() & named if rule.sources else config.platforms
    return sorted(account for account in accounts if rule.type in config.platforms[account].record_kinds())


def _check_values(config: Config, rule: Rule, name: str, accounts: Sequence[str], at: str) -> Iterator[ConfigError]:
    """Yield the undocumented values that fields of a looked-up record are compared with."""
    kind = rule.with_[name].kind
    record = config.record_types[kind]
    if issubclass(record, DeclaredRecord):
        tables = {f"records.{kind}": record.enum_values}
    else:
        tables = {account: config.platforms[account].documented_values(kind) or {} for account in accounts}
    for path, value, place in text_literals(rule.when, "", f"{at}.when") if rule.when else ():
        root, _, inner = path.partition(".")
        inner = inner.removeprefix("record.") if root.endswith("[]") else inner
        if root.removesuffix("[]") == name and not path.startswith(f"{name}[].element."):
            yield from check_literal(inner, value, place, tables)
