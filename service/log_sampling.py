"""Sampling of log lines: of the lines about successful work, those of one event in N are written, with the weight N.

The id of an event decides, so that all processes write all lines of the same events. Errors and waits are always
written. Counts stay right by `sum(weight)` instead of the number of lines.
"""

import zlib
from typing import Any

from msgspec import Struct


class _Sampling(Struct):
    one_in: int = 1


_sampling = _Sampling()


def sample_one_in(number: int) -> None:
    """Write the lines of one event in `number`. 1 writes all lines."""
    _sampling.one_in = number


def is_written(fields: dict[str, Any]) -> bool:
    """Return whether the line of a unit of work is written, and set its `weight`."""
    one_in = _sampling.one_in
    fields["weight"] = 1
    if one_in == 1 or fields.get("error_kind") is not None or fields.get("outcome") == "deferred":
        return True
    sampled_by = fields.get("event_id") or fields.get("trace_id") or ""
    if zlib.crc32(sampled_by.encode()) % one_in:
        return False
    fields["weight"] = one_in
    return True
