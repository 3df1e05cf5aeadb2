"""`waybill explain EVENT`: the recorded decision on an event as a readable tree."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from service.errors import ConfigError
from service.rules import parse_document
from service.rules.document import Document
from service.rules.explaining import explain as explained
from service.settings import load_settings
from service.store import Shards, open_shards


@click.command()
@click.argument("event_id", metavar="EVENT")
@click.option("--json", "as_json", is_flag=True, help="Print what the store has, as JSON.")
def explain(event_id: str, *, as_json: bool) -> None:
    """Show why EVENT was decided as it was: every rule, what settled it, and what came of its effects."""
    shown, document = asyncio.run(_read(event_id))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(shown["story"])))
        return
    for line in explained(shown, document):
        click.echo(line)


async def _read(event_id: str) -> tuple[Mapping[str, Any], Document | None]:
    opened = await open_shards(load_settings(os.environ))
    try:
        stores = opened.stores if isinstance(opened, Shards) else [opened]
        for store in stores:
            shown = await store.events.show(event_id)
            if shown is not None:
                version = next((line["rulebook"] for line in shown["story"] if line["what"] == "decided"), None)
                document = await stores[0].rulebook.document(version) if version else None
                return shown, parse_document(document) if document else None
    finally:
        await opened.close()
    raise ConfigError(event_id[:64], "no such event is stored", "name one that is; ended events are kept for a while")
