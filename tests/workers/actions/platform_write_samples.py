"""One example of each write action of a platform: its fields, and the expected request."""

from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

SAMPLES = Path(__file__).parents[2] / "samples"


class WriteSample(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of an action, and its request for the record `po_1` with the reference `PO-1`."""

    fields: dict[str, Any]
    method: str
    path: str
    body: Any = None
    account: str = ""


def _load() -> dict[str, WriteSample]:
    samples: dict[str, WriteSample] = {}
    for path in sorted(SAMPLES.glob("*/writes.yaml")):
        account = {"account": path.parent.name.replace("_", "-")}
        for name, sample in yaml.safe_load(path.read_text()).items():
            samples[name] = msgspec.convert(sample | account, WriteSample)
    return samples


WRITE_SAMPLES = _load()
