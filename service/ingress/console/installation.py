"""/platforms, /audit and /settings: configuration, state and changes of the installation."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, QueryParameter

from service.errors import Deferred, PermanentError, Rejection, TransientError
from service.events import JsonValue
from service.ingress.admin.dependencies import Accounts, Operations
from service.ingress.admin.problems import not_found
from service.ingress.console.circuits import CircuitPages
from service.ingress.console.forms import Form, FormData
from service.ingress.console.pages import Page, render_page
from service.management.operations import AdminOperations
from service.management.platform_operations import PlatformOperations
from service.management.settings_view import show_config
from service.store.management.audit import ENTRIES_MAX

PAGE_ENTRIES = 200


async def _platforms_page(request: Request[Any, Any, Any], operations: AdminOperations, done: str = "") -> Page:
    notice = {"tone": "ok", "text": done} if done else None
    return render_page(
        request,
        "platforms",
        active="platforms",
        circuits=await operations.list_circuits(),
        platforms={platform.account: platform for platform in await operations.list_platforms()},
        notice=notice,
    )


class PlatformPages(CircuitPages):
    """Platform accounts."""

    path = "/platforms"
    pause_part = AdminOperations.pause_account
    resume_part = AdminOperations.resume_account
    list_page = staticmethod(_platforms_page)

    @get("/", role="viewer")
    async def show_platforms(self, request: Request[Any, Any, Any], operations: Operations) -> Page:
        """Show the accounts with their circuits."""
        return await _platforms_page(request, operations)

    @get("/{account:str}", role="viewer")
    async def show_platform(
        self, request: Request[Any, Any, Any], account: FromPath[str], operations: Operations, accounts: Accounts
    ) -> Page:
        """Show one account with its read operations."""
        return await _platform_page(request, operations, accounts, account)

    @post("/{account:str}/read", role="operator")
    async def read(
        self,
        request: Request[Any, Any, Any],
        account: FromPath[str],
        operations: Operations,
        accounts: Accounts,
        form: Form,
    ) -> Page:
        """Run a read operation, for example fetch a record."""
        operation = form.required("operation", 100, "Choose an operation.")
        arguments = _read_arguments(form)
        answer: JsonValue = None
        if not form.errors:
            try:
                answer = await accounts.read_platform(account, operation, arguments, raw=False)
            except Rejection as rejection:
                form.errors["arguments"] = rejection.detail
            except (TransientError, PermanentError, Deferred) as error:
                form.errors["arguments"] = f"{error.kind}: {error}"
        return await _platform_page(request, operations, accounts, account, form=form, answer=answer)


class AuditPages(Controller):
    """Audit log."""

    path = "/audit"

    @get("/", role="viewer")
    async def show_audit(
        self,
        request: Request[Any, Any, Any],
        operations: Operations,
        q: Annotated[str, QueryParameter(max_length=500)] = "",
    ) -> Page:
        """Show the newest changes, or those whose actor, action or target contains a text."""
        text = q.strip()
        entries = await operations.list_changes(ENTRIES_MAX)
        found = [each for each in entries if text in f"{each.actor} {each.audit_action} {each.target}"]
        shown, fields = found[:PAGE_ENTRIES], {"q": text}
        return render_page(request, "audit", active="audit", entries=shown, total=len(found), fields=fields)


class SettingPages(Controller):
    """Settings and configuration."""

    path = "/settings"

    @get("/", role="operator")
    async def show_settings(self, request: Request[Any, Any, Any], operations: Operations) -> Page:
        """Show settings and configuration."""
        view = await operations.get_configuration()
        stores, workers = await operations.list_stores(memory=False), await operations.list_workers()
        text = msgspec.yaml.encode(view.config).decode()
        return render_page(
            request, "settings", active="settings", view=view, config=text, stores=stores, workers=workers
        )


async def _platform_page(
    request: Request[Any, Any, Any],
    operations: AdminOperations,
    accounts: PlatformOperations,
    account: str,
    form: FormData | None = None,
    answer: JsonValue = None,
) -> Page:
    circuit = next((each for each in await operations.list_circuits() if each.account == account), None)
    if circuit is None:
        raise not_found(f"platform {account[:64]}")
    errors = form.errors if form else {}
    return render_page(
        request,
        "platform",
        status=422 if errors else 200,
        active="platforms",
        circuit=circuit,
        config=msgspec.yaml.encode(show_config(operations.installation.config())["platforms"][account]).decode(),
        reads=await accounts.list_reads(account),
        writes=await accounts.list_writes(account),
        answer=answer,
        fields=form.fields if form else {},
        errors=errors,
    )


def _read_arguments(form: FormData) -> dict[str, str]:
    """Read arguments as `name=value`, one a line."""
    arguments: dict[str, str] = {}
    for line in form.text("arguments").splitlines():
        name, separator, value = line.partition("=")
        if not separator:
            form.errors["arguments"] = f"Write each argument as name=value, one a line: {line[:64]!r} has no =."
        arguments[name.strip()] = value.strip()
    return arguments
