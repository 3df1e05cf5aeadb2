"""Steps of a page: the files that it writes, and the commands that it runs, with their shown output."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>console|yaml)\n(?P<text>.*?)^ *```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
FILE = re.compile(r"`([\w.-]+\.yaml)`")


class Step(NamedTuple):
    """A command with its shown output, or a file with its text."""

    command: str = ""
    shown: str = ""
    file: str = ""
    text: str = ""


def steps_of(page: str) -> Iterator[Step]:
    """Yield the steps of a page below docs/. The paragraph before a block of YAML names the file that it is."""
    text = (DOCS / page).read_text()
    for block in BLOCK.finditer(text):
        content = textwrap.dedent(block["text"])
        if block["kind"] == "console":
            yield from (Step(command, shown) for command, shown in COMMAND.findall(content))
        else:
            paragraph = text[: block.start()].rstrip().rpartition("\n\n")[2]
            named = FILE.findall(paragraph) if paragraph.endswith(":") else []
            if named:
                yield Step(file=named[-1], text=content)
