"""Output of mistakes and warnings: text, JSON, SARIF for code scanning, or annotations of GitHub Actions."""

import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast, get_args

from msgspec import Struct

from service.cli.connection import CommandError
from service.cli.output import output_option, print_json, print_text
from service.errors import ConfigError
from service.mistakes import MISTAKES_MAX
from service.plurals import count_noun

Format = Literal["text", "json", "sarif", "github"]

FORMAT = output_option(
    "output_format",
    get_args(Format),
    "Output format. json: one object; sarif: mistakes as SARIF 2.1.0; github: mistakes as GitHub Actions annotations.",
    default="text",
)

EXIT_INVALID = 2

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


class Mistake(Struct, frozen=True):
    """One mistake or warning: its place, its reason and its fix. `path` is the place in the file."""

    file: str
    line: int | None
    rule_id: str | None
    path: str
    reason: str
    fix: str

    @classmethod
    def of(cls, error: ConfigError | str) -> "Mistake":
        """Convert an error, or the text of a warning. A file below the working directory gets a relative path."""
        if isinstance(error, str):
            return cls("", None, None, "", error, "")
        file = error.file
        if file and Path(file).is_absolute() and Path(file).is_relative_to(Path.cwd()):
            file = os.path.relpath(file)
        return cls(file, error.line, error.rule_id, error.path, error.reason, error.fix)

    @property
    def text(self) -> str:
        """Path, reason and fix in one line."""
        reason = f"{self.reason}. Fix: {self.fix}" if self.fix else self.reason
        return f"{self.path}: {reason}" if self.path else reason


def print_mistakes(
    mistakes: Sequence[ConfigError], warnings: Sequence[ConfigError | str], output_format: Format
) -> None:
    """Print each mistake once. Text goes to stderr without the warnings, all other formats to stdout."""
    errors = list({str(mistake): mistake for mistake in mistakes}.values())
    if output_format == "text":
        for error in errors:
            print_text(f"waybill: {error}", err=True)
        if len(errors) >= MISTAKES_MAX:
            print_text(f"waybill: more than {MISTAKES_MAX} errors; the others are not listed", err=True)
        return
    found = [Mistake.of(error) for error in errors]
    warned = [Mistake.of(warning) for warning in warnings]
    if output_format == "json":
        print_json({"mistakes": found, "warnings": warned})
    elif output_format == "sarif":
        print_json(_sarif(found, warned))
    else:
        for level, each in _with_levels(found, warned):
            print_text(_annotation(level, each))


@contextmanager
def report_mistakes(output_format: Format) -> Generator[None]:
    """Context manager: print the mistakes that the block raises, and end the process with exit code 2."""
    try:
        yield
    except (ConfigError, CommandError) as error:
        found = error if isinstance(error, ConfigError) else error.__cause__
        if not isinstance(found, ConfigError):
            raise
        print_mistakes(found.mistakes, (), output_format)
        print_text(f"waybill: {count_noun(len(found.mistakes), 'error')} found", err=True)
        sys.exit(EXIT_INVALID)


def _with_levels(mistakes: Sequence[Mistake], warnings: Sequence[Mistake]) -> Iterator[tuple[str, Mistake]]:
    yield from (("error", each) for each in mistakes)
    yield from (("warning", each) for each in warnings)


def _annotation(level: str, mistake: Mistake) -> str:
    """Return a workflow command of GitHub Actions, such as `::error file=rules/a.yaml,line=7::…`."""
    title = f"rule {mistake.rule_id}" if mistake.rule_id is not None else "waybill"
    properties = {"file": mistake.file, "line": str(mistake.line or ""), "title": title}
    shown = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items() if value)
    return f"::{level} {shown}::{_escaped(mistake.text)}"


def _escaped(text: str, others: str = "") -> str:
    """Escape a value of a workflow command, in properties also `:` and `,`."""
    for letter in f"%\r\n{others}":
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text


def _sarif(mistakes: Sequence[Mistake], warnings: Sequence[Mistake]) -> Mapping[str, Any]:
    results = [_sarif_result(level, each) for level, each in _with_levels(mistakes, warnings)]
    driver = {"name": "waybill", "rules": [{"id": "waybill-check"}]}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _sarif_result(level: str, mistake: Mistake) -> Mapping[str, Any]:
    result: dict[str, Any] = {"ruleId": "waybill-check", "level": level, "message": {"text": mistake.text}}
    if mistake.file:
        place: dict[str, Any] = {"artifactLocation": {"uri": Path(mistake.file).as_posix()}}
        if mistake.line is not None:
            place["region"] = {"startLine": mistake.line}
        result["locations"] = [{"physicalLocation": place}]
    if mistake.rule_id is not None:
        result["properties"] = {"rule_id": mistake.rule_id}
    return cast("Mapping[str, Any]", result)
