"""Changes of one rule by the admin API: checked, guarded by ETags, published as a new version.

Rules of files are read-only here: the next `waybill rules apply` would undo the change.
"""

import hashlib
from collections.abc import Callable

import msgspec
from msgspec import Struct, structs

from service.errors import ConfigError, Rejection
from service.ingress.admin.dependencies import Actor, AdminDependencies
from service.ingress.admin.problems import invalid, not_found
from service.management.audit_log import log_admin_change
from service.rules import Rule
from service.rules.compiler.rule import actions_by_name, compile_rule
from service.rules.publishing import NO_RULES, change_rules, read_rules
from service.rules.rulebook_document import Document


def etag_of(value: object) -> str:
    """Give the strong entity tag of a value, by its canonical JSON."""
    body = msgspec.json.encode(value, order="sorted")
    return f'"{hashlib.sha256(body).hexdigest()[:24]}"'


def check_match(if_match: str | None, etag: str) -> None:
    """Let a change through that was made on what is there now; `*` takes whatever is there.

    Raises:
        Rejection: 428 `precondition_required` without If-Match, 412 `precondition_failed` for another state.
    """
    if if_match is None:
        raise Rejection(428, "precondition_required", "Send the ETag you read as If-Match, or * to take any state.")
    # Proxies that compress an answer call its tag weak; it stands for the same state.
    tags = {tag.strip().removeprefix("W/") for tag in if_match.split(",")}
    if "*" not in tags and etag not in tags:
        raise Rejection(412, "precondition_failed", "It is no longer what you read; read it again.", {"etag": etag})


RULE_PATH = "rule"
"""What errors call the rule that is compiled."""

ErrorMapper = Callable[[ConfigError], Rejection]
"""Turns a mistake in the rule into a refusal that points into what was sent."""


class RuleChangeRequest(Struct, frozen=True):
    """Who changes which rule, seen in which state (`*`: any), why, and what the audit log calls it."""

    caller: Actor
    rule_id: str
    if_match: str | None
    audit_action: str
    note: str = ""


async def current_rules(parts: AdminDependencies) -> tuple[str | None, Document]:
    """Give the version in force and its rules; before the first one there is none and no rule.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    current = await parts.store.rulebook.current()
    return (current[0], read_rules(current[1])) if current else (None, NO_RULES)


def find_rule(document: Document, rule_id: str) -> Rule:
    """Find a rule.

    Raises:
        Rejection: 404.
    """
    for rule in document.rules:
        if rule.id == rule_id:
            return rule
    raise not_found(f"rule {rule_id[:64]}")


def point_into_rule(error: ConfigError) -> Rejection:
    """Point into a whole rule."""
    return invalid(error, RULE_PATH)


async def add_rule(parts: AdminDependencies, caller: Actor, rule: Rule, note: str) -> str:
    """Add a rule; give the version it is in.

    Raises:
        Rejection: 409 `already_exists`, 422.
    """

    def added(document: Document) -> Document:
        if any(known.id == rule.id for known in document.rules):
            raise Rejection(409, "already_exists", f"There is a rule {rule.id}.")
        check_rule(parts, rule, point_into_rule)
        return structs.replace(document, api_rules=(*document.api_rules, rule))

    return await _publish(parts, RuleChangeRequest(caller, rule.id, None, "rule.created", note), added)


async def change_rule(
    parts: AdminDependencies,
    request: RuleChangeRequest,
    change: Callable[[Rule], Rule | None],
    place: ErrorMapper = point_into_rule,
) -> str:
    """Put what `change` makes of a rule in its place, or take it out for None; give the version.

    Raises:
        Rejection: 404, 409 `read_only` for a rule of a file, 412, 422, 428.
    """

    def changed(document: Document) -> Document:
        rule = find_rule(document, request.rule_id)
        if rule not in document.api_rules:
            fix = "change the file and run waybill rules apply"
            raise Rejection(409, "read_only", f"The rule {rule.id} comes from a file; {fix}.")
        # In here, so that it holds against whatever was published between two tries as well.
        check_match(request.if_match, etag_of(rule))
        new = change(rule)
        if new is not None:
            check_rule(parts, new, place)
        kept = tuple(new if known.id == rule.id else known for known in document.api_rules)
        return structs.replace(document, api_rules=tuple(known for known in kept if known is not None))

    return await _publish(parts, request, changed)


def check_rule(parts: AdminDependencies, rule: Rule, place: ErrorMapper) -> None:
    """Check one rule as loading would.

    Raises:
        Rejection: 422, pointing to the mistake; also for a source that is not configured.
    """
    try:
        compile_rule(rule, actions_by_name(parts.actions), RULE_PATH)
        _check_sources(parts, rule)
    except ConfigError as error:
        raise place(error) from None


def _check_sources(parts: AdminDependencies, rule: Rule) -> None:
    for index, name in enumerate(rule.sources):
        if name not in parts.sources:
            known = ", ".join(sorted(parts.sources)) or "none is configured"
            raise ConfigError(f"{RULE_PATH}.sources[{index}]", f"there is no source {name!r}", f"take one of: {known}")


async def _publish(parts: AdminDependencies, request: RuleChangeRequest, change: Callable[[Document], Document]) -> str:
    note = request.note or f"{request.audit_action} {request.rule_id}"
    shelves = [store.rulebook for store in parts.stores]
    published = await change_rules(shelves, change, request.caller.name, note)
    if published.changed:
        log_admin_change(request.caller, request.audit_action, request.rule_id, rulebook=published.version)
    return published.version
