"""Write the terminal transcripts of the pages again: `python -m tests.docs.transcripts`.

The tests that run the commands of README.md, of the tutorials and of the how-to pages record their output. A page is
written if an output differs in more than ids, times and durations.
"""

import os
import re
import sys

import pytest

from tests.docs.page_steps import DOCS
from tests.test_readme_quickstart import ID, RECORDED, RECORDS, is_same_output

README = DOCS.parent / "README.md"
TESTS = (
    "tests/test_readme_quickstart.py::test_quickstart_prints_the_output_of_readme",
    "tests/docs/test_first_event_tutorial.py",
    "tests/docs/test_how_to_pages.py",
)
PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+")
"""Ports of a run are free ones. The pages keep the default ports."""
INDENTS = ("", "   ")
"""Indentation of the blocks: none, or that of a list."""


def main() -> int:
    """Run the commands of all pages and write the changed transcripts. Return the exit code of the tests."""
    os.environ[RECORDS] = "1"
    code = pytest.main(["-q", "-p", "no:randomly", "-n", "0", *TESTS])
    for page in (README, *DOCS.glob("tutorials/*.md"), *DOCS.glob("how-to/*.md")):
        text = page.read_text()
        written = with_outputs(text, RECORDED)
        if written != text:
            page.write_text(written)
            print(page.relative_to(README.parent), file=sys.stderr)  # noqa: T201 - a script
    return int(code)


def with_outputs(text: str, recorded: list[tuple[str, str]]) -> str:
    """Return the text of a page with the recorded outputs, if one of them differs. Ids in its commands follow."""
    pairs = [pair for pair in recorded if any(indented(pair[0], indent) in text for indent in INDENTS)]
    if all(is_same_output(shown, actual) for shown, actual in pairs):
        return text
    for shown, actual in pairs:
        ports = iter(PORT.findall(shown))
        output = PORT.sub(lambda match: next(ports, match[0]), actual)  # noqa: B023 - called at once
        for indent in INDENTS:
            text = text.replace(indented(shown, indent), indented(output, indent))
    for shown, actual in pairs:
        for before, after in zip(ID.findall(shown), ID.findall(actual), strict=False):
            text = text.replace(before, after)
    return text


def indented(text: str, indent: str) -> str:
    """Return a text with its lines indented."""
    return "".join(indent + line if line.strip() else line for line in text.splitlines(keepends=True))


if __name__ == "__main__":
    sys.exit(main())
