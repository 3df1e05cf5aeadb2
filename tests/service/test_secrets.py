"""Secret references: environment variables and files."""

from pathlib import Path

import msgspec
import pytest

from service.errors import ConfigError
from service.secrets import SECRET_BYTES_MAX, SecretRef


@pytest.mark.parametrize("value", ["", "\n", "\r\n"])
def test_empty_secret_is_a_config_error(tmp_path: Path, value: str) -> None:
    file = tmp_path / "secret"
    file.write_text(value)
    for ref in (SecretRef(env="A"), SecretRef(file=str(file))):
        with pytest.raises(ConfigError, match="is empty") as caught:
            ref.resolve({"A": value}, "at.this.place")
        assert caught.value.path == "at.this.place"


def test_missing_secret_is_a_config_error(tmp_path: Path) -> None:
    for ref in (SecretRef(env="A"), SecretRef(file=str(tmp_path / "none")), SecretRef(file=str(tmp_path))):
        with pytest.raises(ConfigError):
            ref.resolve({}, "")


def test_unusable_secret_file_is_a_config_error(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"hush\xff")
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        SecretRef(file=str(file)).resolve({})
    assert "hush" not in str(caught.value)
    file.write_bytes(b"x" * (SECRET_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="larger than"):
        SecretRef(file=str(file)).resolve({})
    with pytest.raises(ConfigError, match="absolute"):
        SecretRef(file="secret").resolve({})


@pytest.mark.parametrize("data", [{}, {"env": ""}, {"env": "A", "file": "/b"}, {"env": None, "file": None}])
def test_reference_requires_exactly_one_of_env_and_file(data: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError, match="either env or file"):
        msgspec.convert(data, SecretRef)


def test_trailing_line_breaks_are_removed(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" hush \n")
    assert SecretRef(file=str(file)).resolve({}) == " hush "
    assert SecretRef(env="A").resolve({"A": "hush\r\n"}) == "hush"
    file.write_bytes(b"x" * SECRET_BYTES_MAX)
    assert len(SecretRef(file=str(file)).resolve({})) == SECRET_BYTES_MAX


def test_reference_does_not_contain_the_secret() -> None:
    assert "hush" not in repr(SecretRef(env="A"))
