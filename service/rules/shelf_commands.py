"""`waybill rules show`, `list`, `history`, `diff`, `rollback`, `export`: what is in force, and what was before."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from service.actions import load_actions
from service.errors import ConfigError
from service.rules.comparing import compare_documents
from service.rules.document import Document, parse_document
from service.rules.language import Rule
from service.rules.publishing import roll_back
from service.settings import load_settings
from service.store import Shards, open_shards
from service.store.rulebook import RulebookShelf

Found = TypeVar("Found")

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
AUTHOR = click.option("--author", default=lambda: os.environ.get("USER", "unknown"), help="Who; by default $USER.")
VERSION = click.option("--version", "version", default=None, help="A former version; by default the one in force.")


@click.command()
@click.argument("rule_id", required=False)
@JSON
@VERSION
def show(rule_id: str | None, version: str | None, *, as_json: bool) -> None:
    """Show the version in force and its rules in full, or the one rule of that id."""
    version, document = _rules_of(version)
    shown = [rule for rule in document.rules if rule_id in {None, rule.id}]
    if rule_id is not None and not shown:
        raise ConfigError(rule_id, f"no rule of that id in version {version}", "waybill rules list names them")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"version": version, "rules": shown})))
        return
    click.echo(f"# version {version}")
    click.echo(msgspec.yaml.encode(shown).decode(), nl=False)


@click.command(name="list")
@JSON
def list_rules(*, as_json: bool) -> None:
    """List the rules in force, one a line, in the order in which they are judged."""
    _, document = _rules_of(None)
    made_in_api = {rule.id for rule in document.api_rules}
    rows = [_row(rule, in_api=rule.id in made_in_api) for rule in sorted(document.rules, key=_order)]
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    for row in rows:
        click.echo("  ".join(str(cell) for cell in row.values() if cell != ""))


@click.command()
@JSON
def history(*, as_json: bool) -> None:
    """List the versions that were published, newest first, with author and note."""
    entries = with_shelves(lambda shelves: shelves[0].history())
    if as_json:
        click.echo(msgspec.json.encode(entries))
        return
    for entry in entries:
        at = datetime.fromtimestamp(entry["at"] / 1000, UTC).isoformat(timespec="seconds")
        click.echo(f"{entry['version']}  {at}  {entry['author']}  {entry['note']}".rstrip())


@click.command()
@click.argument("before")
@click.argument("after", required=False)
@JSON
def diff(before: str, after: str | None, *, as_json: bool) -> None:
    """Show what changed between two versions, rule by rule; AFTER is by default the version in force."""
    changes = compare_documents(_rules_of(before)[1], _rules_of(after)[1])
    if as_json:
        click.echo(msgspec.json.encode(changes))
        return
    for change in changes:
        click.echo(f"{change.what} {change.rule}")
        for line in change.lines:
            click.echo(f"  {line}")
    if not changes:
        click.echo("no difference")


@click.command()
@click.argument("version")
@AUTHOR
@click.option("--note", default="", help="Why, in a few words.")
def rollback(version: str, author: str, note: str) -> None:
    """Put a former VERSION in force again, as a whole: rules of files and of the admin API."""
    done = with_shelves(lambda shelves: roll_back(shelves, version, load_actions(), author, note))
    click.echo(f"{done.version} {'in force' if done.changed else 'in force already'}, {done.rules} rules")


@click.command()
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write files there.")
@VERSION
def export(folder: Path | None, version: str | None) -> None:
    """Write the rules in force as rule files: files.yaml and api.yaml in a folder, or all on standard output."""
    _, document = _rules_of(version)
    if folder is None:
        click.echo(msgspec.yaml.encode(document.rules).decode(), nl=False)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, rules in (("files.yaml", document.file_rules), ("api.yaml", document.api_rules)):
        if rules:
            (folder / name).write_bytes(msgspec.yaml.encode(rules))
            click.echo(f"{folder / name}: {len(rules)} rules")


def with_shelves(ask: Callable[[Sequence[RulebookShelf]], Awaitable[Found]]) -> Found:
    """Open the stores of the settings, ask their shelves one thing, close them."""

    async def run() -> Found:
        opened = await open_shards(load_settings(os.environ))
        try:
            stores = opened.stores if isinstance(opened, Shards) else [opened]
            return await ask([store.rulebook for store in stores])
        finally:
            await opened.close()

    return asyncio.run(run())


def _rules_of(version: str | None) -> tuple[str, Document]:
    if version is None:
        current = with_shelves(lambda shelves: shelves[0].current())
        if current is None:
            raise ConfigError("rulebook", "nothing is published", "publish the rule files: waybill rules apply")
        return current[0], parse_document(current[1])
    document = with_shelves(lambda shelves: shelves[0].document(version))
    if document is None:
        raise ConfigError(version[:64], "is not on the shelf", "waybill rules history names those that are")
    return version, parse_document(document)


def _row(rule: Rule, *, in_api: bool) -> dict[str, Any]:
    return {
        "sort": rule.sort,
        "id": rule.id,
        "type": rule.type,
        "enabled": "enabled" if rule.enabled else "disabled",
        "events": ",".join(rule.events) or "all events",
        "sources": ",".join(rule.sources) or "all sources",
        "from": "api" if in_api else "file",
        "name": rule.name,
    }


def _order(rule: Rule) -> tuple[int, str]:
    return rule.sort, rule.id
