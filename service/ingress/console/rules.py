"""/rules and /history: active rules with statistics, one rule, publications, differences and rollback."""

from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import FromPath, QueryParameter
from msgspec import structs

from service.ingress.admin.dependencies import Operations
from service.ingress.admin.rule_changes import RuleEdit, change_rule, current_rules, find_rule
from service.ingress.admin.rules import view, views
from service.ingress.console.forms import Form
from service.ingress.console.pages import Page, redirect, render_page
from service.ingress.console.rule_text import write_rule
from service.management.operations import AdminOperations
from service.management.rule_statistics import RuleStatistics
from service.rules.rulebook_diff import diff_rulebooks

NOTE_CHARACTERS_MAX = 500
PUBLICATIONS_MAX = 200

Version = Annotated[str, QueryParameter(max_length=64)]


class RulePages(Controller):
    """Rules."""

    path = "/rules"

    @get("/", role="viewer")
    async def show_rules(self, request: Request[Any, Any, Any], operations: Operations) -> Page:
        """Show the active rules."""
        version, document = await current_rules(operations)
        statistics = await operations.rule_statistics()
        return render_page(
            request,
            "rules",
            active="rules",
            version=version,
            rules=views(document),
            statistics={rule.id: statistics.rules.get(rule.id, RuleStatistics()) for rule in document.rules},
            events=statistics.events,
        )

    @get("/{rule_id:str}", role="viewer")
    async def show_rule(self, request: Request[Any, Any, Any], rule_id: FromPath[str], operations: Operations) -> Page:
        """Show one rule."""
        version, document = await current_rules(operations)
        rule = find_rule(document, rule_id)
        statistics = (await operations.rule_statistics()).rules.get(rule.id, RuleStatistics())
        return render_page(
            request,
            "rule",
            active="rules",
            version=version,
            rule=view(rule, document),
            text=write_rule(rule),
            statistics=structs.asdict(statistics),
        )

    @post("/{rule_id:str}/delete", role="operator")
    async def delete(
        self, request: Request[Any, Any, Any], rule_id: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Delete a rule."""
        edit = RuleEdit(operations, rule_id, form.text("etag") or "*", "")
        await change_rule(edit, "rule.deleted", lambda _: None)
        return redirect(request, "/rules")


class HistoryPages(Controller):
    """Publications of the rulebook."""

    path = "/history"

    @get("/", role="viewer")
    async def show_history(self, request: Request[Any, Any, Any], operations: Operations) -> Page:
        """Show the publications."""
        return await _history_page(request, operations)

    @get("/diff", role="viewer")
    async def show_diff(
        self, request: Request[Any, Any, Any], operations: Operations, before: Version, after: Version = ""
    ) -> Page:
        """Show the differences between two versions, by default to the active one."""
        older, newer = await operations.get_rulebook(before), await operations.get_rulebook(after or None)
        differences = diff_rulebooks(older.document, newer.document)
        return render_page(
            request, "diff", active="rules", before=older.version, after=newer.version, differences=differences
        )

    @post("/rollback", role="admin")
    async def roll_back(self, request: Request[Any, Any, Any], operations: Operations, form: Form) -> Page:
        """Activate an earlier version."""
        version = form.required("version", 64, "Choose a version.")
        note = form.text("note")
        if len(note) > NOTE_CHARACTERS_MAX:
            form.errors["note"] = f"{len(note)} characters; at most {NOTE_CHARACTERS_MAX} are possible."
        if form.errors:
            return await _history_page(request, operations, errors=form.errors, fields=form.fields)
        await operations.rollback_rulebook(version, None, note)
        return redirect(request, "/history")


async def _history_page(request: Request[Any, Any, Any], operations: AdminOperations, **variables: object) -> Page:
    publications = await operations.list_publications()
    return render_page(
        request,
        "history",
        status=422 if variables.get("errors") else 200,
        active="rules",
        publications=publications[:PUBLICATIONS_MAX],
        **variables,
    )
