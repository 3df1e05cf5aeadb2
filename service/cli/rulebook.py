"""`waybill rules` commands for the published rulebook: apply, show, list, history, diff, rollback, export."""

import os
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import click

from service.cli.completion import complete_rule, complete_version
from service.cli.connection import (
    EXIT_USAGE,
    AdminClient,
    CommandError,
    ConnectionOptions,
    connection_options,
    run_with_client,
)
from service.cli.dev_instance import adopt_dev_instance
from service.cli.lists import ListOptions, ListTable, list_options, run_list
from service.cli.mistakes_output import FORMAT, Format, report_mistakes
from service.cli.output import JSON, columns_of, print_json, print_text
from service.cli.rule_files import FILES, read_files
from service.cli.rules_plan import read_plan
from service.config.yaml_output import write_yaml
from service.management.rulebook import Publication, StoredRulebook
from service.plurals import count_noun
from service.rules.publishing import Published
from service.rules.rulebook_diff import diff_rulebooks
from service.rules.syntax import Rule

AUTHOR = click.option(
    "--author", default=None, help="Author of the change. Default: $USER. With --url: the name of the token."
)
NOTE = click.option("--note", default="", help="Reason for the change.")
RULES = ListTable[dict[str, Any]](
    columns={name: itemgetter(name) for name in ("sort", "id", "type", "enabled", "events", "sources", "from", "name")},
    name=itemgetter("id"),
    empty_message="The active rulebook has no rules.",
)
PUBLICATIONS = ListTable[Publication](
    columns={**columns_of("version"), "at": lambda entry: _timestamp(entry.at), **columns_of("author", "note")},
    name=lambda entry: entry.version,
    empty_message="No rulebook is published. Publish one with: waybill rules apply",
)
VERSION = click.option(
    "--version",
    "version",
    default=None,
    shell_complete=complete_version,
    help="Rulebook version. Default: the active version.",
)


@click.command(
    epilog='\b\nExamples:\n  waybill rules apply\n  waybill rules apply rules/orders.yaml --note "raise the limit"\n'
    "  waybill rules apply --plan-file plan.json\n  waybill rules apply -o github"
)
@FILES
@click.option(
    "--plan-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Apply a plan of `rules plan --out`, if the active version is still the planned one.",
)
@AUTHOR
@NOTE
@FORMAT
@connection_options
def apply(
    files: tuple[Path, ...],
    plan_file: Path | None,
    author: str | None,
    note: str,
    output_format: Format,
    *,
    connection: ConnectionOptions,
) -> None:
    """Publish and activate rule files.

    FILES are rule files, or - for standard input. Default: the files that waybill.yaml names. Rules that were created
    with the admin API are kept. Exit code 2 if a rule is not valid; then nothing is published.
    """
    if plan_file is not None and files:
        raise click.UsageError("Give either FILES or --plan-file.")
    if connection.url is None:
        adopt_dev_instance(os.environ)
    with report_mistakes(output_format):
        if plan_file is not None:
            planned = read_plan(plan_file)
            found, expected = planned.rules, planned.before
        else:
            found, expected = [rule for file in read_files(files) for rule in file.rules], None
        done = run_with_client(connection, lambda client: client.apply_rules(found, author, note, expected))
    _print_published(done, as_json=output_format == "json")


@click.command(epilog="\b\nExamples:\n  waybill rules show\n  waybill rules show short-receipt")
@click.argument("rule_id", required=False, shell_complete=complete_rule)
@JSON
@VERSION
@connection_options
def show(rule_id: str | None, version: str | None, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Show the active rulebook, or one rule of it, as YAML."""
    found = _fetch_rulebook(connection, version)
    shown = [rule for rule in found.document.rules if rule_id in {None, rule.id}]
    if rule_id is not None and not shown:
        reason = f"{rule_id}: version {found.version} has no such rule. Fix: run waybill rules list for the ids"
        raise CommandError(reason, EXIT_USAGE)
    if as_json:
        print_json({"version": found.version, "rules": shown})
        return
    print_text(f"# version {found.version}")
    print_text(write_yaml(shown), nl=False)


@click.command(name="list", epilog="\b\nExample:\n  waybill rules list")
@list_options
@connection_options
def list_rules(*, options: ListOptions, connection: ConnectionOptions) -> None:
    """List the active rules in the order of their evaluation."""

    async def fetch(client: AdminClient) -> list[dict[str, Any]]:
        document = (await client.get_rulebook(None)).document
        made_in_api = {rule.id for rule in document.api_rules}
        return [_row(rule, in_api=rule.id in made_in_api) for rule in sorted(document.rules, key=_order)]

    run_list(connection, fetch, RULES, options)


@click.command(epilog="\b\nExample:\n  waybill rules history")
@list_options
@connection_options
def history(*, options: ListOptions, connection: ConnectionOptions) -> None:
    """List the published rulebook versions, newest first."""
    run_list(connection, lambda client: client.list_publications(), PUBLICATIONS, options)


@click.command(
    epilog="\b\nExamples:\n  waybill rules diff 6424128019dec481\n"
    "  waybill rules diff 6424128019dec481 b6bccbb8e529bbc9"
)
@click.argument("before", shell_complete=complete_version)
@click.argument("after", required=False, shell_complete=complete_version)
@JSON
@connection_options
def diff(before: str, after: str | None, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Show the differences between two rulebook versions.

    Default of AFTER: the active version. Run `waybill rules history` for the versions.
    """
    changes = diff_rulebooks(_fetch_rulebook(connection, before).document, _fetch_rulebook(connection, after).document)
    if as_json:
        for change in changes:
            print_json(change)
        return
    for change in changes:
        print_text(f"{change.change} {change.rule_id}")
        for line in change.lines:
            print_text(f"  {line}")
    if not changes:
        print_text("The versions do not differ.")


@click.command(epilog='\b\nExample:\n  waybill rules rollback 6424128019dec481 --note "wrong limit"')
@click.argument("version", shell_complete=complete_version)
@AUTHOR
@NOTE
@JSON
@connection_options
def rollback(version: str, author: str | None, note: str, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Activate an earlier rulebook version.

    Restores all rules of VERSION, including rules that were created with the admin API.
    """
    _print_published(
        run_with_client(connection, lambda client: client.rollback_rulebook(version, author, note)), as_json=as_json
    )


@click.command(epilog="\b\nExamples:\n  waybill rules export > rules.yaml\n  waybill rules export --to backup")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files. Default: standard output.",
)
@VERSION
@JSON
@connection_options
def export(folder: Path | None, version: str | None, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Export the active rules as YAML, so that rules apply publishes the same version.

    Prints the rules of files. With --to, these are written to files.yaml, and rules of the admin API to api.yaml. With
    -o json, each line is a rule, or a written file.
    """
    document = _fetch_rulebook(connection, version).document
    if folder is None:
        if as_json:
            for rule in document.file_rules:
                print_json(rule)
        else:
            print_text(write_yaml(document.file_rules), nl=False)
        if document.api_rules:
            count = count_noun(len(document.api_rules), "rule")
            print_text(f"waybill: {count} of the admin API not printed; --to writes them too", err=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, rules in (("files.yaml", document.file_rules), ("api.yaml", document.api_rules)):
        if rules:
            (folder / name).write_text(write_yaml(rules), encoding="utf-8")
            if as_json:
                print_json({"file": str(folder / name), "rules": len(rules)})
            else:
                print_text(f"{folder / name}: {count_noun(len(rules), 'rule')}")


def _fetch_rulebook(connection: ConnectionOptions, version: str | None) -> StoredRulebook:
    return run_with_client(connection, lambda client: client.get_rulebook(version))


def _print_published(done: Published, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    print_text(f"{done.version} {'activated' if done.changed else 'already active'}, {count_noun(done.rules, 'rule')}")


def _timestamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")


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
