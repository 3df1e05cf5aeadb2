"""Settings that are derived from others."""

import pytest
from msgspec import structs

from service.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("environ", "queue"),
    [
        ({}, "wb:queue"),
        ({"WAYBILL_KEY_PREFIX": "shop:"}, "shop:queue"),
        ({"WAYBILL_KEY_PREFIX": "shop:", "WAYBILL_QUEUE": ""}, "shop:queue"),
        ({"WAYBILL_KEY_PREFIX": "shop:", "WAYBILL_QUEUE": "arq:queue"}, "arq:queue"),
    ],
)
def test_queue_has_the_key_prefix_unless_it_is_set(environ: dict[str, str], queue: str) -> None:
    settings = load_settings(environ)
    assert settings.queue == queue
    assert structs.replace(settings, port=1).queue == queue


def test_default_queue_is_not_that_of_other_arq_applications() -> None:
    assert Settings().queue == "wb:queue"
