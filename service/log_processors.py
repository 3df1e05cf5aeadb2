"""Log processors of other packages, found by the entry point group `waybill.log_processors`.

A processor is one of structlog: it gets the logger, the level and the fields of a line, and returns the fields. It runs
for every line, in the order of the entry points' names, before redaction. `structlog.DropEvent` drops the line.
"""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any

from structlog import DropEvent

from service.extensions import invalid_extension, load_extensions

ENTRY_POINT_GROUP = "waybill.log_processors"

LogFields = MutableMapping[str, Any]
LogProcessor = Callable[[Any, str, LogFields], LogFields]


@cache
def load_log_processors() -> Sequence[LogProcessor]:
    """Return the processors of other packages. A processor that fails leaves its line as it was.

    Raises:
        ConfigErrors: processors cannot be imported, or are not callable.
    """
    return load_extensions(ENTRY_POINT_GROUP, _read)


def _read(processor: LogProcessor, entry: EntryPoint) -> Iterator[LogProcessor]:
    if not callable(processor):
        raise invalid_extension(
            entry, f"{entry.value} is not callable", "name a structlog processor in the entry point"
        )
    yield _guard(entry.name, processor)


def _guard(name: str, processor: LogProcessor) -> LogProcessor:
    def run(logger: object, level: str, fields: LogFields) -> LogFields:
        try:
            changed = processor(logger, level, dict(fields))
            changed["event"]  # a line without its name is not valid
        except DropEvent:
            raise
        except Exception as error:  # noqa: BLE001 - code of other packages must not stop a delivery or a job
            fields["log_processor_error"] = f"{name}: {type(error).__name__}"
            return fields
        return changed

    return run
