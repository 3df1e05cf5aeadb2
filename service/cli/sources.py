"""`waybill sources`: the configured sources, and the presets of well-known senders."""

from typing import Any

import click
import msgspec

from service.cli.completion import complete_preset
from service.cli.connection import ConnectionOptions, connection_options
from service.cli.lists import FORMAT, ListFormat, ListOptions, ListTable, list_options, print_list, run_list
from service.cli.output import JSON, columns_of, print_json, print_text
from service.config.presets import SenderPreset, load_preset, preset_names
from service.management.status import SourceView

SOURCES = ListTable[SourceView](
    columns=columns_of("name", "platform", "path", "verify", "quarantined"),
    wide=columns_of(
        "name", "platform", "path", "verify", "secrets", "envelope", "poll_seconds", "dedupe_hours", "quarantined"
    ),
    name=lambda view: view.name,
    empty_message="waybill.yaml has no sources.",
)
PRESETS = ListTable[dict[str, Any]](
    columns={
        "preset": lambda row: row["preset"],
        "sender": lambda row: row["title"],
        "group": lambda row: row["group"],
        "requires": lambda row: ", ".join(row["requires"]),
    },
    name=lambda row: row["preset"],
    empty_message="",
)


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  waybill sources\n  waybill sources presets\n  waybill sources show shopify",
)
@list_options
@connection_options
@click.pass_context
def sources(context: click.Context, *, options: ListOptions, connection: ConnectionOptions) -> None:
    """List the configured sources, or the presets of well-known senders.

    The column `quarantined` counts the rejected deliveries in quarantine.
    """
    if context.invoked_subcommand is None:
        run_list(connection, lambda client: client.list_sources(), SOURCES, options)


@sources.command(epilog="\b\nExample:\n  waybill sources presets")
@FORMAT
def presets(*, output: ListFormat | None) -> None:
    """List the presets of well-known senders."""
    print_list([{"preset": name, **_described(load_preset(name))} for name in preset_names()], PRESETS, output)


@sources.command(epilog="\b\nExample:\n  waybill sources show shopify")
@click.argument("name", shell_complete=complete_preset)
@JSON
def show(name: str, *, as_json: bool) -> None:
    """Show a preset: its parameters, the configuration it stands for, and the facts about the sender."""
    preset = load_preset(name)
    if as_json:
        print_json({"preset": name, **_described(preset), "source": preset.source})
        return
    lines = [preset.title, "", "Source:", f"  {name}:", "    platform: …", f"    preset: {name}"]
    lines += [f"    {key}: …  # {meaning}" for key, meaning in preset.requires.items()]
    lines += [f"    record: {preset.record}  # the record kind of all events"] if preset.record else []
    lines += ["", "Facts:", *[f"  {'certain ' if fact.certain else 'inferred'}  {fact.text}" for fact in preset.facts]]
    lines += ["", "Stands for:", *_as_lines(preset.source, "  "), "", *preset.documentation]
    print_text("\n".join(lines))


def _described(preset: SenderPreset) -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(preset)
    return {key: value for key, value in described.items() if key not in {"source", "samples"}}


def _as_lines(value: dict[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines += [f"{indent}{key}:", *_as_lines(item, f"{indent}  ")]  # pyright: ignore[reportUnknownArgumentType] - plain data
        else:
            lines.append(f"{indent}{key}: {item if isinstance(item, str) else msgspec.json.encode(item).decode()}")
    return lines
