"""Tests that every command, option, link and anchor of the documentation exists."""

import re
import shlex
import tomllib
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


def commands_of(text: str) -> Iterator[str]:
    """Yield the `waybill` commands of code blocks and code spans."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|\$ |-- |exec [^|]*? )(waybill [^|;&]*)", line.strip())
            if found:
                yield found[1]
    yield from INLINE.findall(text)


def find_mistake(line: str) -> str | None:
    """Return the mistake of a command line, or None. Words in capitals and the character … are not checked."""
    words = shlex.split(line.partition(" #")[0].replace("…", ""))[1:]
    command: click.Command = waybill
    context = click.Context(waybill)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return f"no command {name}" if re.fullmatch(r"[a-z-]+", name) else None
        command = found
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h", "--version"}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return f"{command.name} has no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_exists(page: Path) -> None:
    mistakes = {line: found for line in commands_of(page.read_text()) if (found := find_mistake(line))}
    assert mistakes == {}


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub creates for the headings of a page."""
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in HEADING.findall(page.read_text())
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_has_an_existing_target(page: Path) -> None:
    missing: list[str] = []
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            missing.append(f"{path}#{anchor}")
    assert missing == []


def test_the_site_and_its_index_contain_every_page() -> None:
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md") if "examples" not in page.parts}
    pages -= {page for page in pages if re.search(r"decisions/\d{4}-", page)}
    site = tomllib.loads((ROOT / ".zensical.toml").read_text())["project"]["nav"]
    assert sorted(re.findall(r"'([\w./-]+\.md)'", str(site))) == sorted(pages)
    linked = {path for path, _ in LINK.findall((docs / "index.md").read_text())}
    assert pages - linked == {"index.md"}


@pytest.mark.parametrize(
    "word", ["retry", "circuit breaker", "idempotency", "exactly once", "HMAC", "rate limit", "dead letter", "webhook"]
)
def test_a_page_contains_the_words_that_people_search_for(word: str) -> None:
    assert [page.name for page in PAGES if page.is_relative_to(ROOT / "docs") and word in page.read_text()]


def test_unknown_commands_and_options_are_found() -> None:
    assert find_mistake("waybill evnts list") == "no command evnts"
    assert find_mistake("waybill events lst") == "no command lst"
    assert find_mistake("waybill events list --sorce x # why") == "list has no option --sorce"
    assert find_mistake("waybill events show ID -o json") is None


def test_pages_contain_commands() -> None:
    assert sum(len(list(commands_of(page.read_text()))) for page in PAGES) > 60
