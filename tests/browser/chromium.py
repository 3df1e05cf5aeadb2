"""Chromium without a window, driven by Selenium, with axe for accessibility."""

import base64
import http.client
import json
import shutil
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.senders import npm
from tests.waiting import PATIENCE_SECONDS

# Selenium's types are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

HERE = Path(__file__).parent
PROGRAM = shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
"""Chromium without the parts for windows, which takes a quarter less processor time, or the whole one."""
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-gpu")
DESKTOP, SMALL, PHONE = (1280, 860), (1024, 720), (390, 844)

SHIFTS = """
const done = arguments[0], shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries())).observe({type: "layout-shift", buffered: true});
requestAnimationFrame(() => requestAnimationFrame(() => done(shifts.map((each) => each.value))));
"""

AS_NEW: dict[str, dict[str, Any]] = {
    "Network.clearBrowserCookies": {},
    "Network.disable": {},
    "Emulation.setScriptExecutionDisabled": {"value": False},
    "Emulation.setEmulatedMedia": {},
    "Emulation.clearDeviceMetricsOverride": {},
}
"""Commands that revert what a test changes in its window."""

Theme = Literal["light", "dark"]


class Chromium:
    """One window. Every method waits until the page is loaded."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url
        self.has_scripts = True

    def log_in(self, token: str) -> None:
        self.open("/login")
        self.find("#token").send_keys(token, Keys.ENTER)
        self.wait_for_path("/")
        self.wait_for("nav.side")

    def start_session(self, token: str) -> None:
        """Log in without a page, which takes half a second of processor time less."""
        with closing(http.client.HTTPConnection(self.url.removeprefix("http://"))) as connection:
            headers = {"content-type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/login", urlencode({"token": token}), headers)
            ((name, cookie),) = SimpleCookie(connection.getresponse().headers["set-cookie"]).items()
        values = {"name": name, "value": cookie.value, "url": self.url, "httpOnly": True, "sameSite": "Strict"}
        assert self.driver.execute_cdp_cmd("Network.setCookie", values)["success"]

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    def resize(self, size: tuple[int, int], theme: Theme = "light") -> None:
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)

    def slow_down(self, bytes_per_second: int) -> None:
        """Limit the speed of downloads, so that a page arrives in parts."""
        limits = {"offline": False, "latency": 0, "downloadThroughput": bytes_per_second, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", limits)

    def disable_scripts(self) -> None:
        self.has_scripts = False
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def count(self, selector: str) -> int:
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def press(self, *keys: str) -> None:
        """Press keys wherever the focus is: a page may replace the focused element at any time."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def wait_for(self, selector: str) -> WebElement:
        wait = WebDriverWait(self.driver, PATIENCE_SECONDS, poll_frequency=0.05)
        return wait.until(lambda driver: driver.find_element(By.CSS_SELECTOR, selector))

    def wait_for_path(self, path: str) -> None:
        wait = WebDriverWait(self.driver, PATIENCE_SECONDS, poll_frequency=0.05)
        wait.until(lambda driver: driver.current_url.removeprefix(self.url).startswith(path))
        # Keys are handled from the moment at which the script shows the button.
        self.wait_for("[data-help]:not([hidden])" if self.has_scripts else "main")

    def evaluate(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def violations(self, *rules: str) -> list[str]:
        """Return the violations of axe's rules, or of the named ones, with the elements."""
        npm.install(HERE)
        if not self.evaluate("return 'axe' in window"):
            self.evaluate(AXE.read_text())
        only: dict[str, Any] = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
        script = "const done = arguments[1]; axe.run(document, arguments[0]).then((found) => done(found.violations))"
        options = {"resultTypes": ["violations"]} | only
        found: list[dict[str, Any]] = self.driver.execute_async_script(script, options)
        return [f"{each['id']}: {json.dumps([node['html'] for node in each['nodes']])}" for each in found]

    def layout_shift(self) -> float:
        """Return the sum of the layout shifts of the page since its load."""
        shifts: list[float] = self.driver.execute_async_script(SHIFTS)
        return sum(shifts)

    def save(self, path: Path) -> None:
        path.write_bytes(self.driver.get_screenshot_as_png())

    def picture(self, quality: int) -> bytes:
        """Return the window as WebP, of a quality from 0 to 100."""
        options = {"format": "webp", "quality": quality}
        return base64.b64decode(self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"])

    def errors(self) -> list[str]:
        """Return the errors of the page since the last call, such as a violation of the Content-Security-Policy."""
        lines: list[dict[str, Any]] = self.driver.get_log("browser")
        return [line["message"] for line in lines if line["level"] == "SEVERE"]


@contextmanager
def open_chromium(url: str) -> Generator[Chromium]:
    """Start a browser for the console at `url`."""
    with start_driver() as driver:
        yield Chromium(driver, url)


@contextmanager
def start_driver() -> Generator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = PROGRAM
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        driver.set_script_timeout(PATIENCE_SECONDS)
        yield driver
    finally:
        driver.quit()


class Windows:
    """A browser with one window for many tests, one after the other. It starts with the first test.

    Each console has a port, and thus a storage, of its own.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._driver: webdriver.Chrome | None = None

    @contextmanager
    def open(self, url: str) -> Generator[Chromium]:
        """Lend the window, as a new one, for the console at `url`. A test that fails ends the browser."""
        driver = self._driver = self._driver or self._stack.enter_context(start_driver())
        try:
            yield Chromium(driver, url)
            # Chromium ends 20 s later if requests of a page that is left are still slowed down.
            for command, values in AS_NEW.items():
                driver.execute_cdp_cmd(command, values)
            driver.get("about:blank")
            driver.get_log("browser")  # without the lines of this test
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the browser."""
        self._stack.close()
        self._driver = None
