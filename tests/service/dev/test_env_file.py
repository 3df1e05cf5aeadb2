"""File `.env` beside waybill.yaml."""

from pathlib import Path

import pytest

from service.dev.env_file import BYTES_MAX, leave_out_replaced, read_env_file
from service.errors import ConfigError


def read(tmp_path: Path, content: str | bytes) -> dict[str, str]:
    (tmp_path / ".env").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_env_file(tmp_path / "waybill.yaml")


def test_without_a_file_there_are_no_variables(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / "waybill.yaml") == {}


def test_values_may_be_quoted_and_settings_of_waybill_are_left_out(tmp_path: Path) -> None:
    text = "# a comment\n\nA=1\nexport B = 'two words'\nC=\"x=y\"\nD=\nE='\nWAYBILL_PORT=1\n"
    assert read(tmp_path, text) == {"A": "1", "B": "two words", "C": "x=y", "D": "", "E": "'"}


def test_only_variables_with_another_value_in_the_shell_are_left_out() -> None:
    assert leave_out_replaced({"A": "1", "B": "2", "C": "3"}, {"A": "1", "B": "other"}) == {"A": "1", "C": "3"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("A=1\nsecret-text\n", r"\.env, line 2: is not a variable. Fix: write NAME=value"),
        (b"A=\xff", "is not UTF-8 text"),
        ("A=" + "x" * (BYTES_MAX - 1), f"is larger than {BYTES_MAX} bytes"),
    ],
    ids=["no variable", "no text", "too large"],
)
def test_a_damaged_file_is_rejected_without_its_content(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        read(tmp_path, content)
    assert "secret-text" not in str(error.value)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    assert len(read(tmp_path, "A=" + "x" * (BYTES_MAX - 2))["A"]) == BYTES_MAX - 2


def test_an_unreadable_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_env_file(tmp_path / "waybill.yaml")
