"""Log processors of other packages, found by the entry point group `waybill.log_processors`.

A processor is one of structlog: it gets the logger, the level and the fields of a line, and returns the fields. It runs
for every line, in the order of the entry points' names, before redaction. `structlog.DropEvent` drops the line.
"""

from collections.abc import Callable, MutableMapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from structlog import DropEvent

from service.errors import ConfigError

ENTRY_POINT_GROUP = "waybill.log_processors"

LogFields = MutableMapping[str, Any]
LogProcessor = Callable[[Any, str, LogFields], LogFields]


@cache
def load_log_processors() -> Sequence[LogProcessor]:
    """Return the processors of other packages. A processor that fails leaves its line as it was.

    Raises:
        ConfigError: a processor cannot be imported, or is not callable.
    """
    entries = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)
    return [_guard(entry.name, _load(entry)) for entry in entries]


def _load(entry: EntryPoint) -> LogProcessor:
    path = f"entry point {ENTRY_POINT_GROUP}.{entry.name}"
    try:
        processor = cast("LogProcessor", entry.load())
    except (ImportError, AttributeError) as error:
        reason = f"{entry.value} cannot be imported ({error})"
        raise ConfigError(path, reason, "install the package that provides it, with its extras") from error
    if not callable(processor):
        raise ConfigError(path, f"{entry.value} is not callable", "name a structlog processor in the entry point")
    return processor


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
