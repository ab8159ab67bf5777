"""Debian's Chromium without a window and without a network, driven by Selenium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest

_PATIENCE = 60.0
"""Seconds after which an element that does not appear counts as a failure; never waited in full."""

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """A tab, and what it has asked for and complained about."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Opens a page."""
        self.driver.get(url)

    def find(self, selector: str) -> Any:
        """Returns the first element of a CSS selector, once it is there."""
        return self.until(lambda: self.driver.find_elements("css selector", selector), selector)[0]

    def find_all(self, selector: str) -> list[Any]:
        """Returns all elements of a CSS selector that are there now."""
        return self.driver.find_elements("css selector", selector)

    def find_button(self, text: str) -> Any:
        """Returns the first button with this text, once it is there."""
        return self.until(
            lambda: [found for found in self.find_all("button") if found.text.strip() == text], text
        )[0]

    def click(self, selector: str) -> None:
        """Clicks the first element of a CSS selector, once it is there; again if it is drawn anew meanwhile."""
        self.until(lambda: self._clicked("css selector", selector), selector)

    def click_link(self, text: str) -> None:
        """Clicks the link of a text, likewise."""
        self.until(lambda: self._clicked("link text", text), text)

    def _clicked(self, by: str, what: str) -> bool:
        self.driver.find_element(by, what).click()
        return True

    def until(self, condition: Any, what: str) -> Any:
        """Returns what ``condition`` returns, once that is true."""
        from selenium.common.exceptions import StaleElementReferenceException, TimeoutException  # pyright: ignore[reportMissingImports]
        from selenium.webdriver.support.ui import WebDriverWait  # pyright: ignore[reportMissingImports]

        wait = WebDriverWait(
            self.driver,
            _PATIENCE,
            poll_frequency=0.02,
            ignored_exceptions=[StaleElementReferenceException],
        )
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            pytest.fail(f"{what} does not come; the page shows:\n{self.text}\n{self.complaints()}")

    def until_text(self, text: str) -> None:
        """Returns once the page shows ``text``."""
        self.until(lambda: text in self.text, text)

    @property
    def text(self) -> str:
        """What the page shows."""
        return self.driver.find_element("css selector", "body").text

    def run(self, script: str, *arguments: Any) -> Any:
        """Returns what JavaScript returns."""
        return self.driver.execute_script(script, *arguments)

    def choose_theme(self, name: str) -> None:
        """Has pages see the theme ``light`` or ``dark`` as the one that their reader prefers."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def barriers(self) -> list[str]:
        """What axe finds on the page that keeps people from using it."""
        folder = files(pytest.importorskip("axe_core_python", reason="needs proofrank[integrations]"))
        self.driver.execute_script(folder.joinpath("axe.min.js").read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(
            "axe.run(document).then((found) => arguments[0](found.violations))"
        )
        return [
            f"{violation['id']}: {node['html']} {node['failureSummary']}"
            for violation in found
            for node in violation["nodes"]
        ]

    def complaints(self) -> list[str]:
        """Errors of scripts, refusals by the security policy and failed requests since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def hosts(self) -> set[str]:
        """Where requests went since the last call: host and port, or the scheme where there is no host."""
        found = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                found.add(url.netloc or url.scheme)
        return found


@contextmanager
def open_browser(*, size: tuple[int, int] = (1200, 900)) -> Iterator[Browser]:
    """Yields a new browser; skips the test where Selenium, Chromium or its driver is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs proofrank[integrations]")
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver_program = shutil.which("chromedriver")
    if program is None or driver_program is None:
        pytest.skip("no Chromium with chromedriver: install Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    arguments = [
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
        *("--disable-background-networking", f"--window-size={size[0]},{size[1]}", "--lang=en"),
        # No name leads anywhere, so that the network is off but for the loopback interface.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    for argument in arguments:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_program))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
