"""Every `waybill …` that the documentation tells to type is a command with such options, and every link leads there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from service.cli.main import waybill

ROOT = Path(__file__).parents[1]
PAGES = sorted([
    *ROOT.glob("*.md"), *(ROOT / ".github").glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "helm/README.md"
])  # fmt: skip
BLOCK = re.compile(r"^```(?:sh|console|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
INLINE = re.compile(r"`(waybill [^`]+)`")


def typed(text: str) -> Iterator[str]:
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|\$ |-- |exec [^|]*? )(waybill [^|;&]*)", line.strip())
            if found:
                yield found[1]
    yield from INLINE.findall(text)


def trouble(line: str) -> str | None:
    """What is wrong with a line, if anything is; words in capitals or behind a … are left to the reader."""
    words = shlex.split(line.partition(" #")[0].replace("…", ""))[1:]
    command: click.Command = waybill
    context = click.Context(waybill)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return None if not re.fullmatch(r"[a-z-]+", name) else f"no command {name}"
        command = found
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h", "--version"}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return f"{command.name} takes no {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_tells_to_type_is_there(page: Path) -> None:
    mistakes = {line: found for line in typed(page.read_text()) if (found := trouble(line))}
    assert mistakes == {}


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives the headings of a page."""
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in HEADING.findall(page.read_text())
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_what_is_there(page: Path) -> None:
    lost: list[str] = []
    for place, anchor in LINK.findall(page.read_text()):
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            lost.append(f"{place}#{anchor}")
    assert lost == []


def test_a_command_or_an_option_that_is_not_there_is_noticed() -> None:
    assert trouble("waybill evnts list") == "no command evnts"
    assert trouble("waybill events lst") == "no command lst"
    assert trouble("waybill events list --sorce x # why") == "list takes no --sorce"
    assert trouble("waybill events show ID --json") is None


def test_pages_do_tell_what_to_type() -> None:
    assert sum(len(list(typed(page.read_text()))) for page in PAGES) > 60
