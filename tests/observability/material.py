"""Personal data and secrets of a run that no line may contain, and the validation of lines."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from jsonschema_rs import Draft202012Validator

from docs.generator.logs import read_schema

Line = dict[str, Any]

PERSONAL: Mapping[str, str] = {
    "name": "Wilhelmina Quackenbush",
    "email": "wilhelmina.q@example.org",
    "phone": "+4790817263",
    "street": "Rue de la Clef 77",
    "city": "Zwijndrecht",
    "secret": "tok-8f1e5d90b7c2",
}
"""Unique words: each occurrence in a line is a leak."""


def read_lines(output: bytes) -> list[Line]:
    """Parse the standard output of a process; raise msgspec.DecodeError for a line that is not a JSON object."""
    return [msgspec.json.decode(text, type=dict[str, Any]) for text in output.splitlines()]


class LineValidator:
    """Validator of lines against the definition of their event in the log schema."""

    def __init__(self) -> None:
        self.schema = read_schema()
        self.events: Mapping[str, Mapping[str, Any]] = self.schema["$defs"]["event"]
        self._validators = {
            name: Draft202012Validator({**self.schema, "oneOf": [{"$ref": f"#/$defs/event/{name}"}]})
            for name in self.events
        }

    def errors(self, lines: Iterable[Line]) -> list[str]:
        """Return the validation errors of all lines."""
        return [f"{line.get('message')}: {error.message} in {line}" for line in lines for error in self._errors(line)]

    def fields(self, event: str) -> set[str]:
        """Return every field that a line of the event may have."""
        return {*self.schema["$defs"]["line"]["properties"], *self.events[event]["properties"]}

    def _errors(self, line: Line) -> Iterable[Any]:
        validator = self._validators.get(str(line.get("message")))
        if validator is None:
            return [Unknown()]
        return validator.iter_errors(line)


class Unknown:
    message = "is not an event of the schema"
