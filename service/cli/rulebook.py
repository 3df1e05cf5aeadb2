"""`waybill rules apply`, `show`, `list`, `history`, `diff`, `rollback`, `export`: what is in force, what was before."""

import os
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import click
import msgspec

from service.cli.connection import ConnectionOptions, connection_options, run_with_client
from service.cli.dev_instance import adopt_dev_instance
from service.cli.output import Columns, print_json, print_rows
from service.cli.rule_files import FILES, read_files
from service.errors import ConfigError
from service.management.rulebook import Publication, StoredRulebook
from service.rules.publishing import Published
from service.rules.rulebook_diff import diff_rulebooks
from service.rules.syntax import Rule

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
AUTHOR = click.option("--author", default=None, help="Who; by default $USER. With --url it is the token's name.")
NOTE = click.option("--note", default="", help="Why, in a few words.")
RULE_COLUMNS = ("sort", "id", "type", "enabled", "events", "sources", "from", "name")
PUBLICATION_COLUMNS: Columns[Publication] = {
    "version": lambda entry: entry.version,
    "at": lambda entry: datetime.fromtimestamp(entry.at / 1000, UTC).isoformat(timespec="seconds"),
    "author": lambda entry: entry.author,
    "note": lambda entry: entry.note,
}
VERSION = click.option("--version", "version", default=None, help="A former version; by default the one in force.")


@click.command()
@FILES
@AUTHOR
@NOTE
@JSON
@connection_options
def apply(
    files: tuple[Path, ...], author: str | None, note: str, *, as_json: bool, connection: ConnectionOptions
) -> None:
    """Put FILES, or those that waybill.yaml names, into force. Rules made in the admin API stay."""
    if connection.url is None:
        adopt_dev_instance(os.environ)
    found = [rule for file in read_files(files) for rule in file.rules]
    _print_published(
        run_with_client(connection, lambda client: client.apply_rules(found, author, note)), as_json=as_json
    )


@click.command()
@click.argument("rule_id", required=False)
@JSON
@VERSION
@connection_options
def show(rule_id: str | None, version: str | None, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Show the version in force and its rules in full, or the one rule of that id."""
    kept = _kept(connection, version)
    shown = [rule for rule in kept.document.rules if rule_id in {None, rule.id}]
    if rule_id is not None and not shown:
        raise ConfigError(rule_id, f"no rule of that id in version {kept.version}", "waybill rules list names them")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"version": kept.version, "rules": shown})))
        return
    click.echo(f"# version {kept.version}")
    click.echo(msgspec.yaml.encode(shown).decode(), nl=False)


@click.command(name="list")
@JSON
@connection_options
def list_rules(*, as_json: bool, connection: ConnectionOptions) -> None:
    """List the rules in force, one a line, in the order in which they are judged."""
    document = _kept(connection, None).document
    made_in_api = {rule.id for rule in document.api_rules}
    rows = [_row(rule, in_api=rule.id in made_in_api) for rule in sorted(document.rules, key=_order)]
    print_rows(rows, {name: itemgetter(name) for name in RULE_COLUMNS}, as_json=as_json, nothing="no rules")


@click.command()
@JSON
@connection_options
def history(*, as_json: bool, connection: ConnectionOptions) -> None:
    """List the versions that were published, newest first, with author and note."""
    entries = run_with_client(connection, lambda client: client.list_publications())
    print_rows(entries, PUBLICATION_COLUMNS, as_json=as_json, nothing="nothing was published yet")


@click.command()
@click.argument("before")
@click.argument("after", required=False)
@JSON
@connection_options
def diff(before: str, after: str | None, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Show what changed between two versions, rule by rule; AFTER is by default the version in force."""
    changes = diff_rulebooks(_kept(connection, before).document, _kept(connection, after).document)
    if as_json:
        for change in changes:
            print_json(change)
        return
    for change in changes:
        click.echo(f"{change.change} {change.rule_id}")
        for line in change.lines:
            click.echo(f"  {line}")
    if not changes:
        click.echo("no difference")


@click.command()
@click.argument("version")
@AUTHOR
@NOTE
@JSON
@connection_options
def rollback(version: str, author: str | None, note: str, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Put a former VERSION in force again, as a whole: rules of files and of the admin API."""
    _print_published(
        run_with_client(connection, lambda client: client.rollback_rulebook(version, author, note)), as_json=as_json
    )


@click.command()
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write files there.")
@VERSION
@connection_options
def export(folder: Path | None, version: str | None, *, connection: ConnectionOptions) -> None:
    """Write the rules in force as rule files: files.yaml and api.yaml in a folder, or all on standard output."""
    document = _kept(connection, version).document
    if folder is None:
        click.echo(msgspec.yaml.encode(document.rules).decode(), nl=False)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, rules in (("files.yaml", document.file_rules), ("api.yaml", document.api_rules)):
        if rules:
            (folder / name).write_bytes(msgspec.yaml.encode(rules))
            click.echo(f"{folder / name}: {len(rules)} rules")


def _kept(connection: ConnectionOptions, version: str | None) -> StoredRulebook:
    return run_with_client(connection, lambda client: client.get_rulebook(version))


def _print_published(done: Published, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    click.echo(f"{done.version} {'in force' if done.changed else 'in force already'}, {done.rules} rules")


def _order(rule: Rule) -> tuple[int, str]:
    return rule.sort, rule.id


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
