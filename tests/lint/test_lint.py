"""Tests of the prose meter and of the name checks on small inputs."""

from pathlib import Path

import pytest

from tests.lint import names, prose

LONG = "This sentence has " + "many " * 30 + "words."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Return the outcome of a delivery.", (0, 0, 0, False)),
        ("What becomes of it, and who tells whom.", (3, 1, 0, True)),
        ("The code stands here and looks away.", (0, 2, 0, False)),
        ("The rest of the lines, at rest.", (0, 0, 0, False)),
        (LONG, (0, 0, 1, False)),
        ("`what` and `who` in code do not count.", (0, 0, 0, False)),
    ],
)
def test_the_meter_counts_pronouns_metaphors_long_sentences_and_openers(
    tmp_path: Path, text: str, found: tuple[int, int, int, bool]
) -> None:
    path = tmp_path / "module.py"
    path.write_text(f'"""{text}"""\n')
    [block] = [prose.measure(block) for block in prose.docstrings(path)]
    assert (len(block.pronouns), len(block.metaphors), block.long, block.opener) == found


def test_the_meter_ignores_code_in_markdown(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# Title\n\n```\nwhat who nobody\n```\n\nPlain text.\n")
    summary = prose.summarize([prose.measure(block) for block in prose.markdown(path)])
    assert (summary.words, summary.pronouns) == (3, 0)


def test_a_name_in_two_modules_is_found(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("class Page: ...\ndef read_page(): ...\n")
    assert list(names.repeated_names((tmp_path,))) == ["Page"]


@pytest.mark.parametrize(
    "line",
    [
        "def tell_all(): ...",
        "class RefusedCall: ...",
        "wanted = 1",
        "def f(by_way): ...",
        "gate = 1",
        "def rests(): ...",
        "jobs_max = 1",
    ],
)
def test_a_forbidden_word_in_a_name_is_found(tmp_path: Path, line: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"{line}\n")
    assert len(names.forbidden_names(path)) == 1


@pytest.mark.parametrize("line", ["def always(): ...", "class Gateway: ...", "fare_well = 'way'"])
def test_whole_words_are_compared(tmp_path: Path, line: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"{line}\n")
    assert len(names.forbidden_names(path)) == line.startswith("fare")
