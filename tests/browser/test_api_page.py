"""The page of the admin API in Chromium: it shows the operations within its Content-Security-Policy."""

import asyncio

import pytest

from service.ingress.admin import admin_router
from service.ingress.app import build_admin_app
from service.ingress.server import Listener
from service.listening_socket import bind
from service.settings import Settings
from service.store import Store
from tests.service.ingress.admin.conftest import ENVIRON, installation_of

from .chromium import DESKTOP, Windows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system_tool("chromium", package="chromium"),
    pytest.mark.system_tool("chromedriver", package="chromium-driver"),
]


async def test_the_page_shows_the_operations_without_an_error_of_the_browser(
    windows: Windows, settings: Settings, store: Store
) -> None:
    app = build_admin_app(settings, store, admin=admin_router(installation_of(lambda: store), ENVIRON))
    with bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT") as port:
        listener = Listener(app, port, settings)
        await listener.start()
        try:
            await asyncio.to_thread(check_page, windows, f"http://127.0.0.1:{listener.port}")
        finally:
            await listener.stop()


def check_page(windows: Windows, url: str) -> None:
    with windows.open(url) as browser:
        browser.resize(DESKTOP)
        browser.open("/docs")
        assert "Events" in browser.wait_for("#operations-tag-Events").text
        assert browser.errors() == []
