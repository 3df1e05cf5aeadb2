"""Generator of the reference of all commands and options."""

import inspect
import re
from collections.abc import Iterator

import click

from service.cli.main import waybill

INTRODUCTION = """\
# Command line

Generated from the commands by `make pages`. [Commands for operators](commands.md) explains how they connect, and their
output. Options of the form `--name TEXT` that end with a name in brackets, such as
`[WAYBILL_ADMIN_URL]`, read that environment variable if they are not given.
"""
COMMON = {"--help", "--version"}


def command_line_page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    context = click.Context(waybill, info_name="waybill")
    for name in waybill.list_commands(context):
        command = waybill.get_command(context, name)
        if command is not None:
            parts += _sections(command, context, name, 2)
    return "".join(parts)


def _sections(command: click.Command, parent: click.Context, name: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield f"\n{'#' * level} `{context.command_path}`\n\n"
    yield f"{_text(command.help or '')}\n"
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield f"\n```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
        rows = [row for parameter in command.params if (row := _row(parameter, context))]
        if rows:
            yield "\n| option | meaning |\n|---|---|\n" + "".join(rows)
        examples = re.search(r"Examples:\n((?:  .+\n?)+)", command.epilog or "")
        if examples:
            lines = [line.strip() for line in examples[1].splitlines()]
            yield "\n```sh\n" + "\n".join(lines) + "\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _sections(found, context, inner, level + 1)


def _text(help_text: str) -> str:
    """Return the paragraphs of a help text; a paragraph after a backspace keeps its lines."""
    paragraphs = inspect.cleandoc(help_text).split("\n\n") if help_text else []
    return "\n\n".join(
        "\n".join(f"- {line.strip()}" for line in paragraph.splitlines()[1:])
        if paragraph.startswith("\b")
        else " ".join(paragraph.split())
        for paragraph in paragraphs
    )


def _row(parameter: click.Parameter, context: click.Context) -> str | None:
    record = parameter.get_help_record(context)
    if record is None or not record[1] or COMMON.intersection(parameter.opts):
        return None
    # A pipe ends the cell of a table, also in a code span.
    names, meaning = (" ".join(text.split()).replace("|", "/") for text in record)
    return f"| `{names}` | {meaning.replace('<', '&lt;').replace('*', '&#42;')} |\n"
