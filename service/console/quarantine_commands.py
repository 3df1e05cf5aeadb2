"""`waybill quarantine`: look at refused deliveries, judge them again, take the good ones in, forget the others.

Shown is what helps to see what went wrong: names, sizes, codes. Never a credential, a signature or personal data.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from service.console.opening import opened_parts, opened_stores, read_settings
from service.ingress.headers import KEPT
from service.ingress.review import Finding, judge, take_in
from service.redaction import plain, scrub
from service.store import Refused, Store

EXIT_NOT_ALL = 1
PAGE = 100

IDS = click.argument("ids", nargs=-1)
SOURCE = click.option("--source", help="All that this source has there.")
ALL = click.option("--all", "every", is_flag=True, help="All that there are.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


class Choice(Struct, frozen=True):
    """Which refused deliveries are meant."""

    ids: tuple[str, ...]
    source: str | None
    every: bool


@click.group()
def quarantine() -> None:
    """Look at refused deliveries, and take the good ones in after a mistake is mended."""


@quarantine.command(name="list")
@SOURCE
@JSON
def list_refused(source: str | None, *, as_json: bool) -> None:
    """List refused deliveries, the newest of each source first."""

    async def collect() -> list[Refused]:
        async with opened_stores(read_settings()) as (_, stores):
            return [each async for _, each in _chosen(stores, Choice((), source, every=source is None))]

    rows = [_summary(each) for each in asyncio.run(collect())]
    if as_json:
        _print_lines(rows)
        return
    if not rows:
        click.echo("nothing is in quarantine")
        return
    table = Table()
    for name in rows[0]:
        table.add_column(name, no_wrap=name == "id", overflow="fold", min_width=32 if name == "id" else None)
    for row in rows:
        table.add_row(*(str(cell) for cell in row.values()))
    Console().print(table)


@quarantine.command()
@click.argument("refused_id", metavar="ID")
def show(refused_id: str) -> None:
    """Show one as JSON, with credentials, signatures and personal data left out."""

    async def find() -> list[Refused]:
        async with opened_stores(read_settings()) as (_, stores):
            return [each async for _, each in _chosen(stores, Choice((refused_id,), None, every=False))]

    for refused in asyncio.run(find()):
        click.echo(msgspec.json.format(msgspec.json.encode(_redacted(refused))).decode())


@quarantine.command()
@IDS
@SOURCE
@ALL
@JSON
def verify(ids: tuple[str, ...], source: str | None, *, every: bool, as_json: bool) -> None:
    """Judge them again by what is configured now, and change nothing. Exit code 1 if one would be refused again."""
    _go_through(Choice(ids, source, every), accepting=False, as_json=as_json)


@quarantine.command()
@IDS
@SOURCE
@ALL
@JSON
def accept(ids: tuple[str, ...], source: str | None, *, every: bool, as_json: bool) -> None:
    """Take those in that are good by what is configured now; they leave the quarantine. The others stay."""
    _go_through(Choice(ids, source, every), accepting=True, as_json=as_json)


@quarantine.command()
@IDS
@SOURCE
@ALL
def discard(ids: tuple[str, ...], source: str | None, *, every: bool) -> None:
    """Forget them."""

    async def forget() -> int:
        gone = 0
        async with opened_stores(read_settings()) as (_, stores):
            async for store, refused in _chosen(stores, Choice(ids, source, every)):
                gone += await store.quarantine.discard(refused.source, [refused.id])
        return gone

    click.echo(f"{asyncio.run(forget())} discarded")


def _go_through(choice: Choice, *, accepting: bool, as_json: bool) -> None:
    """Judge what is chosen, tell of each, and take the good ones in if that is wanted."""

    async def go() -> list[dict[str, Any]]:
        async with opened_parts() as parts, opened_stores(parts.settings) as (opened, stores):
            told: list[dict[str, Any]] = []
            async for store, refused in _chosen(stores, choice):
                finding = judge(refused, parts.sources)
                if finding.admission is None:
                    told.append(_told(finding, "refused"))
                elif not accepting:
                    told.append(_told(finding, "good"))
                else:
                    outcomes = await take_in(finding, finding.admission, parts.sources, opened)
                    await store.quarantine.discard(refused.source, [refused.id])
                    told.append(_told(finding, "accepted") | {"events": msgspec.to_builtins(outcomes)})
            return told

    rows = asyncio.run(go())
    if as_json:
        _print_lines(rows)
    else:
        for row in rows:
            click.echo("  ".join(_cell(cell) for cell in row.values()))
    if any(row["result"] == "refused" for row in rows):
        sys.exit(EXIT_NOT_ALL)


async def _chosen(stores: Sequence[Store], choice: Choice) -> AsyncIterator[tuple[Store, Refused]]:
    """Give what is meant, with the store it lies on.

    Raises:
        click.UsageError: nothing was named, or an id that is not there.
    """
    if not (choice.ids or choice.source or choice.every):
        raise click.UsageError("name ids, or --source, or --all")
    for refused_id in choice.ids:
        found = [(store, each) for store in stores if (each := await store.quarantine.get(refused_id))]
        if not found:
            raise click.UsageError(f"there is no {refused_id} in quarantine")
        yield found[0]
    for store in stores if not choice.ids else ():
        for source in [choice.source] if choice.source else await store.quarantine.sources():
            ids = await store.quarantine.ids(source)
            for start in range(0, len(ids), PAGE):
                for each in await store.quarantine.read(source, ids[start : start + PAGE]):
                    yield store, each


def _summary(refused: Refused) -> dict[str, Any]:
    return {
        "id": refused.id,
        "source": refused.source,
        "received_at": datetime.fromtimestamp(refused.received_at, UTC).isoformat(timespec="seconds"),
        "code": refused.code,
        "http_status": refused.http_status,
        "body_bytes": len(refused.body) if refused.whole else "not read",
    }


def _redacted(refused: Refused) -> dict[str, Any]:
    headers = {
        name: value if name in KEPT else f"[{len(value)} characters]" for name, value in sorted(refused.headers.items())
    }
    return {
        **_summary(refused),
        "headers": headers,
        "path_token": refused.path_token and f"[{len(refused.path_token)} characters]",
        "body_sha256": sha256(refused.body).hexdigest(),
        "body": _readable(refused.body),
    }


def _readable(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return scrub(plain(msgspec.json.decode(body)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"[{len(body)} bytes that are no JSON]"


def _told(finding: Finding, result: str) -> dict[str, Any]:
    told: dict[str, Any] = {"id": finding.refused.id, "source": finding.refused.source, "result": result}
    if finding.code:
        told |= {"code": finding.code, "detail": finding.detail}
    return told


def _cell(value: Any) -> str:  # noqa: ANN401 - a text, or the list of what became of each fact
    if isinstance(value, str):
        return value
    return ", ".join(f"{outcome['status']} {outcome['event_id'] or ''}".rstrip() for outcome in value)


def _print_lines(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(msgspec.json.encode(row))
