"""/editor: editor of API rules with check, dry run, comparison and publication."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from service.errors import ConfigError, Deferred, PermanentError, Rejection, TransientError
from service.events import RecordRef
from service.ingress.admin.dependencies import Operations
from service.ingress.admin.problems import FieldError, ValidationProblem, invalid
from service.ingress.admin.rule_changes import (
    RULE_PATH,
    RuleEdit,
    add_rule,
    change_rule,
    check_rule,
    current_rules,
    etag_of,
    find_rule,
    point_into_rule,
)
from service.ingress.console.forms import Form, FormData
from service.ingress.console.pages import Page, redirect, render_page
from service.ingress.console.rule_text import read_rule, write_rule
from service.management.dry_run import LAST_EVENTS_MAX, Candidate, RulebookComparison
from service.management.dry_run_result import DryRun
from service.management.operations import AdminOperations
from service.rules import Rule

NOTE_CHARACTERS_MAX = 500
LAST_DEFAULT = 20
NEW_RULE = """\
id: my-rule
type: purchase_order
when:
  all:
    - {field: status, op: eq, value: received}
actions:
  - {id: note, do: log, level: info, message: "{reference} was received"}
"""


class Trial(Struct):
    """Result of a check, a dry run or a comparison, with the mistakes of the rule."""

    mistakes: Sequence[FieldError] = ()
    checked: bool = False
    dry_run: DryRun | None = None
    comparison: RulebookComparison | None = None


class RuleEditor(Controller):
    """Editor of rules."""

    path = "/editor"

    @get("/", role="operator")
    async def show_new(
        self,
        request: Request[Any, Any, Any],
        operations: Operations,
        copy: Annotated[str, QueryParameter(max_length=64)] = "",
    ) -> Page:
        """Show the editor of a new rule, or of a copy."""
        text = NEW_RULE
        if copy:
            _, document = await current_rules(operations)
            text = write_rule(find_rule(document, copy))
        return _editor(request, {"text": text, "last": str(LAST_DEFAULT)})

    @get("/{rule_id:str}", role="operator")
    async def show_edit(self, request: Request[Any, Any, Any], rule_id: FromPath[str], operations: Operations) -> Page:
        """Show the editor of a rule."""
        _, document = await current_rules(operations)
        rule = find_rule(document, rule_id)
        fields = {"text": write_rule(rule), "rule_id": rule.id, "etag": etag_of(rule), "last": str(LAST_DEFAULT)}
        return _editor(request, fields)

    @post("/trial", role="operator")
    async def try_rule(self, request: Request[Any, Any, Any], operations: Operations, form: Form) -> Page:
        """Check a rule; with a record or event, evaluate it; with `compare`, compare it on the newest events."""
        trial = Trial()
        rule = _read(operations, form, trial)
        if rule is not None:
            trial.checked = True
            try:
                await _evaluate(operations, form, rule, trial)
            except (ConfigError, TransientError, PermanentError, Deferred) as error:
                form.errors["target"] = str(error)
            except Rejection as rejection:
                form.errors["target"] = rejection.detail
        return _editor(request, form.fields, form.errors, trial)

    @post("/", role="operator")
    async def save(self, request: Request[Any, Any, Any], operations: Operations, form: Form) -> Page:
        """Publish a rule."""
        trial = Trial()
        rule, note = _read(operations, form, trial), form.text("note")
        if len(note) > NOTE_CHARACTERS_MAX:
            form.errors["note"] = f"{len(note)} characters; at most {NOTE_CHARACTERS_MAX} are possible."
        if rule is None or form.errors:
            return _editor(request, form.fields, form.errors, trial, status=422)
        try:
            await _publish(operations, form, rule, note)
        except ValidationProblem as problem:
            trial.mistakes = problem.faults
            return _editor(request, form.fields, form.errors, trial, status=422)
        except Rejection as rejection:
            form.errors["text"] = rejection.detail
            return _editor(request, form.fields, form.errors, trial, status=rejection.status)
        return redirect(request, f"/rules/{rule.id}")


def _editor(
    request: Request[Any, Any, Any],
    fields: Mapping[str, str],
    errors: Mapping[str, str] | None = None,
    trial: Trial | None = None,
    *,
    status: int = 200,
) -> Page:
    return render_page(
        request, "editor", status=status, active="rules", fields=fields, errors=errors or {}, trial=trial or Trial(),
        last_max=LAST_EVENTS_MAX,
    )  # fmt: skip


def _read(operations: AdminOperations, form: FormData, trial: Trial) -> Rule | None:
    """Read and check the rule of a form, and note its mistakes."""
    try:
        rule = read_rule(form.fields.get("text", ""))
        check_rule(operations, rule, point_into_rule)
    except ConfigError as error:
        trial.mistakes = invalid(error, RULE_PATH).faults
    except ValidationProblem as problem:
        trial.mistakes = problem.faults
    except Rejection as rejection:
        form.errors["text"] = rejection.detail
    else:
        return rule
    return None


async def _evaluate(operations: AdminOperations, form: FormData, rule: Rule, trial: Trial) -> None:
    target = form.text("target")
    if form.is_checked("compare"):
        last = form.number("last")
        if not 1 <= last <= LAST_EVENTS_MAX:
            form.errors["last"] = f"Give a number from 1 to {LAST_EVENTS_MAX}."
            return
        _, document = await current_rules(operations)
        others = [known for known in document.rules if known.id not in {rule.id, form.text("rule_id")}]
        trial.comparison = await operations.compare_rules(Candidate(rules=[*others, rule]), last)
    elif ":" in target:
        ref = RecordRef.parse(target, "record")
        trial.dry_run = await operations.dry_run_record(Candidate(rules=[rule]), ref)
    elif target:
        trial.dry_run = await operations.dry_run_event(Candidate(rules=[rule]), target)
    elif form.is_checked("evaluate"):
        form.errors["target"] = "Give a record such as pack:purchase_order:1, or the id of an event."


async def _publish(operations: AdminOperations, form: FormData, rule: Rule, note: str) -> None:
    rule_id = form.text("rule_id")
    if not rule_id:
        await add_rule(operations, rule, note)
        return
    if rule.id != rule_id:
        raise ValidationProblem([FieldError("/id", f"is not {rule_id}", "create a new rule for another id")])
    edit = RuleEdit(operations, rule_id, form.text("etag") or None, note)
    await change_rule(edit, "rule.updated", lambda _: rule)
