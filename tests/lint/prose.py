"""Prose meter: pronouns, metaphor verbs, openers and long sentences in docstrings and Markdown.

`python -m tests.lint.prose` prints a table, then the ten worst blocks. It exits with 1 where a limit is exceeded.
Docstrings are all string statements of a module; Markdown is measured outside code.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PATHS = tuple(Path(name) for name in ("service", "workers", "docs", "helm", "README.md", "CHANGELOG.md", ".github"))
LIMITS = {"pronouns": 5.0, "metaphors": 2.0, "openers": 0.0, "long": 15.0}
"""Pronouns and metaphor verbs per 1,000 words, openers as a count, long sentences in percent."""

LONG_WORDS = 25
WORST_BLOCKS = 10

PRONOUNS = re.compile(r"\b(?:what|who|whoever|whatever|nobody|somebody|anybody|whom|whose)\b", re.IGNORECASE)
METAPHORS = re.compile(
    r"\b(?:tell|tells|telling|told|hear|hears|hearing|heard|looks?|looked|looking|stands?|standing|stood|lies|rests"
    r"|mend|mends|mended|mending|bears?|heed|heeds|heeded|heeding|fares?|fared|speaks?|spoke|spoken|speaking)\b(?!-)"
    r"|(?<!\bthe )(?<!\ba )(?<!\bat )\b(?:lie|rest)\b",  # the verbs, not "the rest" or "at rest"
    re.IGNORECASE,
)
BURY = re.compile(r"\b(?:bury|buries|buried)\b", re.IGNORECASE)
OPENER = re.compile(r"\s*(?:What|Who|How|Where|Why)\b")
WORD = re.compile(r"[A-Za-z]+(?:['\u2019-][A-Za-z]+)*")
SENTENCE_BREAK = re.compile(r"(?<=[.!?])\s+")

CODE = re.compile(r"``.+?``|`[^`]*`|https?://\S+|\bREST\b|\]\([^)]*\)|\]\[[^\]]*\]")
FENCE = re.compile(r"\s*(?:```|~~~)")
ITEM = re.compile(r"\s*(?:[-*+\u2022]|\d+[.)]|#+|>|[├└│┌─]+|:\w+.*?:|\w[\w, ]*:$)(?:\s|$)")
NO_PROSE = re.compile(r"\s*(?:>>>|\.\.\.|\.\. |\|?[\s:|-]+\|?$|[=~^\"'-]{3,}\s*$|<)")


class Block(NamedTuple):
    """One paragraph, list item or table cell without its code spans."""

    path: Path
    line: int
    text: str
    opens_module: bool = False


class Findings(NamedTuple):
    """The findings in one block."""

    block: Block
    words: int
    pronouns: list[str]
    metaphors: list[str]
    sentences: int
    long: int
    opener: bool

    @property
    def total(self) -> int:
        """Number of findings."""
        return len(self.pronouns) + len(self.metaphors) + self.long + self.opener


class Summary(NamedTuple):
    """The figures of docstrings or of Markdown; `long` is a percentage."""

    words: int
    pronouns: float
    metaphors: float
    openers: int
    modules: int
    long: float


def main() -> int:
    """Measure docstrings and documents; return the exit code."""
    files = list(_files())
    measured = {
        "docstrings": [measure(block) for file in files if file.suffix == ".py" for block in docstrings(file)],
        "markdown": [measure(block) for file in files if file.suffix == ".md" for block in markdown(file)],
    }
    exceeded: list[str] = []
    print(f"{'':10}{'words':>8}{'pronouns/k':>12}{'metaphors/k':>13}{'openers':>12}{'long':>8}")
    for kind, findings in measured.items():
        summary = summarize(findings)
        print(_row(kind, summary))
        exceeded += _exceeded(kind, summary)
    for line in _worst([each for findings in measured.values() for each in findings]):
        print(line)
    for line in exceeded:
        print(line, file=sys.stderr)
    return 1 if exceeded else 0


def docstrings(path: Path) -> Iterator[Block]:
    """Yield the blocks of every string statement of a module: docstrings, and strings below an assignment."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    first = tree.body[0] if tree.body else None
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for number, block in enumerate(_blocks(path, node.lineno, node.value.value.splitlines())):
                yield block._replace(opens_module=node is first and number == 0)


def markdown(path: Path) -> Iterator[Block]:
    """Yield the blocks of a Markdown file outside fenced code."""
    fenced = False
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        is_fence = FENCE.match(line) is not None
        fenced ^= is_fence
        lines.append("" if fenced or is_fence else line)
    yield from _blocks(path, 1, lines)


def measure(block: Block) -> Findings:
    """Count the findings in a block."""
    metaphors = METAPHORS.findall(block.text) + ([] if "store" in block.path.parts else BURY.findall(block.text))
    parts = [(part.rstrip(), len(WORD.findall(part))) for part in SENTENCE_BREAK.split(block.text)]
    # A heading or table cell without a full stop is no sentence, unless it is longer than one may be.
    sentences = [words for part, words in parts if words > LONG_WORDS or part.endswith((".", "!", "?"))]
    return Findings(
        block,
        sum(words for _, words in parts),
        PRONOUNS.findall(block.text),
        metaphors,
        len(sentences),
        sum(words > LONG_WORDS for words in sentences),
        block.opens_module and OPENER.match(block.text) is not None,
    )


def summarize(findings: Sequence[Findings]) -> Summary:
    """Add up the findings of all blocks."""
    words = sum(each.words for each in findings) or 1
    sentences = sum(each.sentences for each in findings) or 1
    return Summary(
        words,
        1_000 * sum(len(each.pronouns) for each in findings) / words,
        1_000 * sum(len(each.metaphors) for each in findings) / words,
        sum(each.opener for each in findings),
        sum(each.block.opens_module for each in findings),
        100 * sum(each.long for each in findings) / sentences,
    )


def _blocks(path: Path, first_line: int, lines: Sequence[str]) -> Iterator[Block]:
    """Join lines to paragraphs. A list item starts a block; each cell of a table row is a block."""
    paragraph: list[str] = []
    start = first_line
    for number, line in enumerate([*lines, ""], first_line):
        is_row = line.lstrip().startswith("|")
        is_prose = bool(line.strip()) and NO_PROSE.match(line) is None
        if paragraph and (is_row or not is_prose or ITEM.match(line)):
            yield Block(path, start, CODE.sub(" ", " ".join(paragraph)))
            paragraph = []
        if is_row and is_prose:
            yield from (Block(path, number, CODE.sub(" ", cell)) for cell in line.split("|") if cell.strip())
        elif is_prose:
            start = start if paragraph else number
            paragraph.append(line.strip())


def _row(kind: str, summary: Summary) -> str:
    openers = f"{summary.openers} of {summary.modules}" if summary.modules else "-"
    figures = f"{summary.pronouns:>12.1f}{summary.metaphors:>13.1f}{openers:>12}{summary.long:>7.1f}%"
    return f"{kind:10}{summary.words:>8}{figures}"


def _worst(findings: Sequence[Findings]) -> Iterator[str]:
    ranked = sorted((each for each in findings if each.total), key=lambda each: (-each.total, each.words))
    for each in ranked[:WORST_BLOCKS]:
        found = [word.lower() for word in (*each.pronouns, *each.metaphors)]
        found += [f"{each.long} over {LONG_WORDS} words"] * (each.long > 0) + ["opener"] * each.opener
        yield f"{each.block.path}:{each.block.line}: {each.total} ({', '.join(found)})"


def _exceeded(kind: str, summary: Summary) -> Iterator[str]:
    for name, allowed in LIMITS.items():
        value = float(getattr(summary, name))
        if value > allowed:
            yield f"{kind}: {name} {value:.1f}, allowed {allowed:g}. Fix: reword the blocks above"


def _files() -> Iterator[Path]:
    for path in PATHS:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in {".py", ".md"}:
                yield file


if __name__ == "__main__":
    sys.exit(main())
