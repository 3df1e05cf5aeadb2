"""`waybill rules`: check rule files, put them into force, and show what is in force."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from service.actions import load_actions
from service.config.loading import load_config
from service.errors import ConfigError
from service.rules.document import Document, parse_document
from service.rules.files import RuleFile, check_sources, find_rule_files, read_rule_files
from service.rules.language import Rule
from service.rules.publishing import publish_file_rules
from service.settings import load_settings
from service.store import Store, open_store

Found = TypeVar("Found")

EXIT_MISTAKES = 2

FILES = click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def rules() -> None:
    """Check, publish and show the rules."""


@rules.command()
@FILES
def check(files: tuple[Path, ...]) -> None:
    """Check FILES, or those that waybill.yaml names, without touching the store."""
    mistakes = 0
    for path in files:
        mistakes += _check_alone(path)
    if mistakes:
        sys.exit(EXIT_MISTAKES)
    for file in _read(files):
        click.echo(f"{file.path}: {len(file.rules)} rules, no mistake found")


@rules.command()
@FILES
@click.option("--author", default=lambda: os.environ.get("USER", "unknown"), help="Who publishes; by default $USER.")
@click.option("--note", default="", help="Why, in a few words.")
def apply(files: tuple[Path, ...], author: str, note: str) -> None:
    """Put FILES, or those that waybill.yaml names, into force. Rules made in the admin API stay."""
    found = [rule for file in _read(files) for rule in file.rules]
    published = _with_store(lambda store: publish_file_rules(store.rulebook, found, load_actions(), author, note))
    state = "in force" if published.changed else "in force already"
    click.echo(f"{published.version} {state}, {published.rules} rules")


@rules.command()
@click.argument("rule_id", required=False)
@JSON
def show(rule_id: str | None, *, as_json: bool) -> None:
    """Show the version in force and its rules in full, or the one rule of that id."""
    version, document = _in_force()
    shown = [rule for rule in document.rules if rule_id in {None, rule.id}]
    if rule_id is not None and not shown:
        raise ConfigError(rule_id, f"no rule of that id in version {version}", "waybill rules list names them")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"version": version, "rules": shown})))
        return
    click.echo(f"# version {version}")
    click.echo(msgspec.yaml.encode(shown).decode(), nl=False)


@rules.command(name="list")
@JSON
def list_rules(*, as_json: bool) -> None:
    """List the rules in force, one a line, in the order in which they are judged."""
    _, document = _in_force()
    made_in_api = {rule.id for rule in document.api_rules}
    rows = [_row(rule, in_api=rule.id in made_in_api) for rule in sorted(document.rules, key=_order)]
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    for row in rows:
        click.echo("  ".join(str(cell) for cell in row.values() if cell != ""))


@rules.command()
@JSON
def history(*, as_json: bool) -> None:
    """List the versions that were published, newest first, with author and note."""
    entries = _with_store(lambda store: store.rulebook.history())
    if as_json:
        click.echo(msgspec.json.encode(entries))
        return
    for entry in entries:
        at = datetime.fromtimestamp(entry["at"] / 1000, UTC).isoformat(timespec="seconds")
        click.echo(f"{entry['version']}  {at}  {entry['author']}  {entry['note']}".rstrip())


def _check_alone(path: Path) -> int:
    """Check one file by itself, so that the mistakes of several are told at once."""
    try:
        read_rule_files([path], load_actions())
    except ConfigError as error:
        click.echo(f"waybill: {error}", err=True)
        return 1
    return 0


def _read(files: Sequence[Path]) -> tuple[RuleFile, ...]:
    """Read the given files; without any, those of waybill.yaml, whose sources are known then."""
    if files:
        return read_rule_files(files, load_actions())
    config = load_config(Path(load_settings(os.environ).config), os.environ)
    read = read_rule_files(find_rule_files(config.rules, config.path.parent), load_actions())
    check_sources(read, config.sources)
    return read


def _in_force() -> tuple[str, Document]:
    current = _with_store(lambda store: store.rulebook.current())
    if current is None:
        raise ConfigError("rulebook", "nothing is published", "publish the rule files: waybill rules apply")
    return current[0], parse_document(current[1])


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


def _with_store(ask: Callable[[Store], Awaitable[Found]]) -> Found:
    """Open the store of the settings, ask it one thing, close it."""

    async def run() -> Found:
        store = await open_store(load_settings(os.environ))
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(run())
