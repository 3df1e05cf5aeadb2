"""Settings that are derived from others, and settings in files."""

from pathlib import Path

import pytest
from msgspec import structs

from service.errors import ConfigError
from service.settings import FILE_SETTINGS, Settings, file_variable, load_settings


@pytest.mark.parametrize(
    ("environ", "queue"),
    [
        ({}, "wb:queue"),
        ({"WAYBILL_KEY_PREFIX": "shop:"}, "shop:queue"),
    ],
)
def test_queue_has_the_key_prefix_unless_it_is_set(environ: dict[str, str], queue: str) -> None:
    settings = load_settings(environ)
    assert settings.queue == queue
    assert structs.replace(settings, port=1).queue == queue


def test_default_queue_is_not_that_of_other_arq_applications() -> None:
    assert Settings().queue == "wb:queue"


def test_secret_setting_can_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hush\n")
    settings = load_settings({file_variable(field): str(file) for field in FILE_SETTINGS})
    assert {getattr(settings, field) for field in FILE_SETTINGS} == {"hush"}


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"WAYBILL_REDIS_PASSWORD_FILE": "/nowhere"}, "cannot read /nowhere"),
        ({"WAYBILL_REDIS_PASSWORD_FILE": "secret"}, "is not an absolute path"),
        ({"WAYBILL_REDIS_PASSWORD_FILE": "/x", "WAYBILL_REDIS_PASSWORD": "y"}, "WAYBILL_REDIS_PASSWORD is set too"),
        ({"WAYBILL_PORT_FILE": "/x"}, "unknown setting"),
        ({"WAYBILL_REDIS_PASSWORT_FILE": "/x"}, "did you mean WAYBILL_REDIS_PASSWORD_FILE"),
    ],
)
def test_wrong_file_of_a_setting_is_a_config_error(environ: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_settings(environ)
