"""Changes of one rule by the admin API: validated, checked against an ETag, published as a new version.

Rules of files are read-only here, because the next `waybill rules apply` would undo the change.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, QueryParameter, SkipValidation
from msgspec import Struct, structs

from service.actions import Action
from service.errors import ConfigError, Rejection
from service.ingress.admin.dependencies import Operations
from service.ingress.admin.problems import invalid, not_found
from service.management.audit_entries import record_change
from service.management.audit_log import Actor
from service.management.operations import AdminOperations
from service.mistakes import Mistakes
from service.rules import Rule, check_destinations, check_operations, check_sources
from service.rules.compiler.rule import actions_by_name, compile_rule
from service.rules.enums import account_values, check_enums
from service.rules.header_checks import check_headers
from service.rules.lookup_checks import check_lookups
from service.rules.publishing import NO_RULES, change_rules, read_rules
from service.rules.rulebook_document import Document

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", description="the ETag that was read, or *")]
Note = Annotated[str, QueryParameter(max_length=500, description="why, in a few words; kept with the version")]

RULE_PATH = "rule"
"""Path of the compiled rule in error messages."""

Headers = dict[str, Any]
PartT = TypeVar("PartT")

ErrorMapper = Callable[[ConfigError], Rejection]
"""Maps an error in a rule to a problem that points into the request body."""


class RuleEdit(Struct, frozen=True):
    """Request to change the rule `rule_id` if it matches `if_match` (`*`: any state); `note` says why."""

    operations: AdminOperations
    rule_id: str
    if_match: str | None
    note: str

    async def change_part(
        self,
        audit_action: str,
        change: Callable[[Rule], tuple[Rule, PartT]],
        map_error: Callable[[ConfigError, PartT], Rejection],
    ) -> tuple[Rule, PartT, Headers]:
        """Change a part of the rule. `change` returns the new rule and the position or id of the part.

        Returns:
            The new rule, the position or id of the part, and the response headers.

        Raises:
            Rejection: As `change_rule`.
        """
        changed: list[tuple[Rule, PartT]] = []

        def apply(rule: Rule) -> Rule:
            changed[:] = [change(rule)]
            return changed[0][0]

        version = await change_rule(self, audit_action, apply, lambda error: map_error(error, changed[0][1]))
        rule, part = changed[0]
        return rule, part, rule_headers(version, rule)


def rule_edit(operations: Operations, rule_id: FromPath[str], if_match: IfMatch = None, note: Note = "") -> RuleEdit:
    """Provide the dependency `edit`."""
    return RuleEdit(operations, rule_id, if_match, note)


Edit = NamedDependency[SkipValidation[RuleEdit]]
"""Type of the parameter `edit` of a route that changes a rule."""


def etag_of(value: object) -> str:
    """Return the strong entity tag of a value: a digest of its canonical JSON."""
    body = msgspec.json.encode(value, order="sorted")
    return f'"{hashlib.sha256(body).hexdigest()[:24]}"'


def rule_headers(version: str | None, rule: Rule | None = None) -> Headers:
    """Return the ETag of a rule and the rulebook version as response headers."""
    headers = {"waybill-rulebook": version} if version else {}
    return headers | ({"etag": etag_of(rule)} if rule is not None else {})


def check_match(if_match: str | None, etag: str) -> None:
    """Check the precondition of a change; `*` matches every state.

    Raises:
        Rejection: 428 `precondition_required` without If-Match, 412 `precondition_failed` for another state.
    """
    if if_match is None:
        raise Rejection(
            428, "precondition_required", "If-Match is missing. Send the ETag of the rule, or * for any state."
        )
    # A proxy that compresses a response makes its tag weak; the state is the same.
    tags = {tag.strip().removeprefix("W/") for tag in if_match.split(",")}
    if "*" not in tags and etag not in tags:
        raise Rejection(
            412, "precondition_failed", "The rule was changed in the meantime. Read it again.", {"etag": etag}
        )


async def current_rules(operations: AdminOperations) -> tuple[str | None, Document]:
    """Return the active version and its rules; no version and no rules before the first publication.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    current = await operations.installation.stores[0].rulebook.current()
    return (current[0], read_rules(current[1])) if current else (None, NO_RULES)


async def load_rule(operations: AdminOperations, rule_id: str) -> tuple[Rule, Headers]:
    """Return an active rule and its response headers.

    Raises:
        Rejection: 404 `not_found`.
        StoreUnavailable: The store does not answer.
    """
    version, document = await current_rules(operations)
    rule = find_rule(document, rule_id)
    return rule, rule_headers(version, rule)


def find_rule(document: Document, rule_id: str) -> Rule:
    """Find a rule.

    Raises:
        Rejection: 404 `not_found`.
    """
    for rule in document.rules:
        if rule.id == rule_id:
            return rule
    raise not_found(f"rule {rule_id[:64]}")


def point_into_rule(error: ConfigError) -> Rejection:
    """Map an error to a problem that points into a whole rule."""
    return invalid(error, RULE_PATH)


async def add_rule(operations: AdminOperations, rule: Rule, note: str) -> str:
    """Add a rule and return the new version.

    Raises:
        Rejection: 409 `already_exists`, 422 `invalid`.
    """

    def added(document: Document) -> Document:
        if any(known.id == rule.id for known in document.rules):
            raise Rejection(
                409, "already_exists", f"Rule {rule.id} already exists. Choose another id, or update the rule."
            )
        check_rule(operations, rule, point_into_rule)
        return structs.replace(document, api_rules=(*document.api_rules, rule))

    return await _publish(RuleEdit(operations, rule.id, None, note), "rule.created", added)


async def change_rule(
    edit: RuleEdit,
    audit_action: str,
    change: Callable[[Rule], Rule | None],
    map_error: ErrorMapper = point_into_rule,
) -> str:
    """Replace a rule by the result of `change`, or remove it if the result is None. Return the new version.

    Raises:
        Rejection: 404 `not_found`, 409 `read_only` for a rule of a file, 412, 422 or 428.
    """

    def changed(document: Document) -> Document:
        rule = find_rule(document, edit.rule_id)
        if rule not in document.api_rules:
            detail = f"Rule {rule.id} comes from a file. Change the file and run waybill rules apply."
            raise Rejection(409, "read_only", detail)
        # The check runs in each attempt to publish, because another version may have been published in between.
        check_match(edit.if_match, etag_of(rule))
        new = change(rule)
        if new is not None:
            check_rule(edit.operations, new, map_error)
        kept = tuple(new if known.id == rule.id else known for known in document.api_rules)
        return structs.replace(document, api_rules=tuple(known for known in kept if known is not None))

    return await _publish(edit, audit_action, changed)


def check_rule(operations: AdminOperations, rule: Rule, map_error: ErrorMapper) -> None:
    """Check one rule as a worker does when it loads the rulebook.

    Raises:
        Rejection: 422 `invalid`, with a pointer to the mistake; also for a source that is not configured, and for
            an undocumented value. 403 `permission_denied` for an action that requires the role admin.
    """
    installation, mistakes = operations.installation, Mistakes()
    actions = actions_by_name(installation.actions())
    with mistakes.collect():
        compile_rule(rule, actions, RULE_PATH, installation.records())
    for mistake in check_sources(installation.sources(), rule, RULE_PATH):
        mistakes.add(mistake)
    for mistake in check_headers(installation.config().sources, rule, RULE_PATH):
        mistakes.add(mistake)
    for mistake in check_destinations(installation.config().destinations, rule, RULE_PATH):
        mistakes.add(mistake)
    for mistake in check_operations(installation.config(), rule, RULE_PATH):
        mistakes.add(mistake)
    for mistake in check_enums(rule, RULE_PATH, account_values(installation.config(), rule)):
        mistakes.add(mistake)
    for mistake in check_lookups(installation.config(), rule, RULE_PATH):
        mistakes.add(mistake)
    try:
        mistakes.raise_all()
    except ConfigError as error:
        raise map_error(error) from None
    _check_role(operations.actor, rule, actions)


def _check_role(actor: Actor, rule: Rule, actions: Mapping[str, type[Action]]) -> None:
    # Otherwise an operator could use the credentials of platforms and destinations, which only admins may do.
    outbound = {str(action["do"]) for action in rule.actions if actions[str(action["do"])].requires_admin}
    if outbound and actor.role != "admin":
        detail = (
            f"Rule {rule.id} changes or calls another system ({', '.join(sorted(outbound))}), which requires the role "
            f"admin; {actor.name} has the role {actor.role}."
        )
        raise Rejection(403, "permission_denied", detail)


async def _publish(edit: RuleEdit, audit_action: str, change: Callable[[Document], Document]) -> str:
    actor = edit.operations.actor
    rulebooks = [edit.operations.stores[0].store.rulebook]
    published = await change_rules(rulebooks, change, actor.name, edit.note or f"{audit_action} {edit.rule_id}")
    if published.changed:
        store = edit.operations.stores[0].store
        await record_change(store, actor, audit_action, edit.rule_id, rulebook=published.version)
    return published.version
