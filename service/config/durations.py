"""Durations of waybill.yaml: a number with a unit, such as `5m` or `72h`."""

from typing import Annotated

from msgspec import Meta

Duration = Annotated[
    str, Meta(pattern=r"^[1-9][0-9]{0,5}[smhd]\Z", description="a number followed by s, m, h or d, such as 5m")
]

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration_seconds(text: str) -> int:
    """Return a duration in seconds."""
    return int(text[:-1]) * _SECONDS[text[-1]]
