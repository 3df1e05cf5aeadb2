"""The polls of waybill.yaml: what a source asks for by itself, and how often."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class PollConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the platform's records of a kind every so often, and take in what changed.

    The first pass only looks, since what is there already did not change; `existing: ingest` takes all of it in.
    """

    every: Annotated[
        str, Meta(pattern=r"^[1-9][0-9]{0,5}[smhd]\Z", description="a number with s, m, h or d behind it, such as 5m")
    ]
    record: Literal["purchase_order", "customer"]
    existing: Literal["ignore", "ingest"] = "ignore"

    @property
    def every_seconds(self) -> int:
        """How long after a pass the next one may begin."""
        return int(self.every[:-1]) * _SECONDS[self.every[-1]]
