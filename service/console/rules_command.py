"""`waybill rules dry-run`: what rules would say, without acting: of a stored event, a record, or the last events.

The command `rules` itself is completed here, since a dry run joins rooms that rules do not know: stores and platforms.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from service.actions import load_actions
from service.config import load_config
from service.dry_runs import (
    LAST_EVENTS_MAX,
    Comparison,
    DryRun,
    compare_last,
    last_events,
    load_rulebook,
    run_event,
    run_record,
    stored_event,
)
from service.errors import ConfigError
from service.events import RecordRef
from service.outbound import open_outbound
from service.platforms import build_platforms
from service.rules import read_rule_files, write_document
from service.rules.commands import rules
from service.rules.tree import tell_effect, tell_steps
from service.settings import load_settings
from service.store import Shards, Store, open_shards

EXIT_DIFFERENT = 1


class Wanted(Struct, frozen=True):
    """What to judge, and by which rules."""

    event: str | None
    record: str | None
    last: int | None
    files: Sequence[Path]
    version: str | None


@click.command(name="dry-run")
@click.option("--event", default=None, help="The id of a stored event; its record is fetched now.")
@click.option("--record", default=None, help="A record to fetch now: ACCOUNT:KIND:ID, as pack:purchase_order:1.")
@click.option(
    "--last", type=click.IntRange(1, LAST_EVENTS_MAX), help="Compare with the rules in force over so many events."
)
@click.option(
    "--rules", "files", multiple=True, type=click.Path(path_type=Path, dir_okay=False), help="Rule files to try."
)
@click.option("--version", default=None, help="A former version to try; by default the one in force.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def dry_run(  # noqa: PLR0913 - the command's options
    event: str | None,
    record: str | None,
    last: int | None,
    files: tuple[Path, ...],
    version: str | None,
    *,
    as_json: bool,
) -> None:
    """Judge without acting. With --last, exits with 1 if anything would be otherwise."""
    if sum(item is not None for item in (event, record, last)) != 1:
        raise click.UsageError("give exactly one of --event, --record and --last")
    found = asyncio.run(_run(Wanted(event, record, last, files, version)))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
    else:
        _tell(found)
    if isinstance(found, Comparison) and found.differences:
        sys.exit(EXIT_DIFFERENT)


async def _run(wanted: Wanted) -> DryRun | Comparison:
    settings, actions = load_settings(os.environ), load_actions()
    config = load_config(Path(settings.config), os.environ)
    async with AsyncExitStack() as stack:
        outbound = await stack.enter_async_context(open_outbound(settings, config.outbound.allow_private_hosts))
        platforms = build_platforms(config.platforms, os.environ, outbound)
        opened = await open_shards(settings)
        stack.push_async_callback(opened.close)
        stores = opened.stores if isinstance(opened, Shards) else [opened]

        def store_of(lane: str) -> Store:
            return opened.of(lane) if isinstance(opened, Shards) else opened

        current = await stores[0].rulebook.current()
        document = current[1] if current else None
        if wanted.files:
            read = read_rule_files(wanted.files, actions)
            tried = write_document([rule for file in read for rule in file.rules])
        else:
            tried = await stores[0].rulebook.document(wanted.version) if wanted.version else document
        if tried is None or (document is None and wanted.last):
            raise ConfigError("rulebook", "there is none of that version", "waybill rules history names those that are")
        candidate = await load_rulebook(tried, actions)
        if wanted.last is not None and document is not None:
            live = await load_rulebook(document, actions)
            return await compare_last(live, candidate, store_of, platforms, await last_events(stores, wanted.last))
        if wanted.event is not None:
            for store in stores:
                event = await stored_event(store, wanted.event)
                if event is not None:
                    return await run_event(candidate, store, platforms, event)
            raise ConfigError(wanted.event[:64], "no such event is stored", "name one that is")
        ref = _ref(wanted.record or "")
        return await run_record(candidate, store_of(ref.lane), platforms, ref)


rules.add_command(dry_run)


def _ref(text: str) -> RecordRef:
    parts = text.split(":", 2)
    if len(parts) != 3 or not all(parts):
        raise ConfigError("--record", f"{text[:100]!r} is no record", "write ACCOUNT:KIND:ID, as pack:purchase_order:1")
    return RecordRef(*parts)


def _tell(found: DryRun | Comparison) -> None:
    if isinstance(found, DryRun):
        click.echo(f"{found.record}, by rulebook {found.rulebook}{', gone' if found.gone else ''}")
        for verdict in found.verdicts:
            click.echo(f"{verdict.rule}: {verdict.result}{f' ({verdict.reason})' if verdict.reason else ''}")
            for line in tell_steps([step for step in found.steps if step.rule == verdict.rule]):
                click.echo(f"  {line}")
            for effect in found.effects:
                if effect.rule == verdict.rule:
                    click.echo(f"  would {tell_effect(effect.action, effect.do, effect.inputs)}")
        return
    click.echo(f"{found.events_judged} events, {found.live} in force, {found.candidate} tried")
    for each in found.differences:
        click.echo(f"{each.event_id} {each.record} {each.rule}: {each.live} -> {each.candidate}")
    for missed in found.not_judged:
        click.echo(f"{missed.event_id} not judged: {missed.reason}")
