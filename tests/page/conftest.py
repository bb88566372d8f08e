"""A Chromium, and tabs of it that note whatever a page should not do."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.support.tools import require

expect.set_options(timeout=10_000)
DESKTOP = {"width": 1200, "height": 780}


@dataclass
class Tab:
    """A page that is open. ``errors`` are of its script and its console, but for statuses that a test is after;
    ``outside`` are requests that went elsewhere than to ``url``."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    @property
    def correlation_id(self) -> str:
        made: str = self.page.evaluate("correlation")
        return made

    def ask(self, text: str) -> None:
        self.page.get_by_label("Your message").fill(text)
        self.page.keyboard.press("Enter")

    def wait_for(self, text: str) -> None:
        self.page.get_by_text(text).last.wait_for()

    def wait_for_end(self) -> None:
        self.page.locator("article[aria-busy=false]").last.wait_for()
        self.page.get_by_role("button", name="Send", exact=True).wait_for()

    def noted(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.outside.append(request.url)


Visit = Callable[..., Tab]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Once for a file: while it is there, nothing else may run an event loop."""
    require("chromium")
    path = shutil.which("chromium")
    with sync_playwright() as driver:
        # As root there is no sandbox, and in containers little shared memory.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Opens a page, in a browser's profile of its own; behind the test it must have done nothing wrong."""
    tabs: list[Tab] = []

    def visit(url: str, **profile: Any) -> Tab:
        page = chromium.new_context(**{"viewport": DESKTOP} | profile).new_page()
        page.set_default_timeout(10_000)
        tab = Tab(page, url)
        tabs.append(tab)
        page.on("request", tab.noted)
        page.on("pageerror", lambda error: tab.errors.append(str(error)))
        page.on("console", lambda line: tab.errors.append(line.text) if line.type in ("error", "warning") else None)
        page.goto(url)
        return tab

    yield visit
    for tab in tabs:
        tab.page.context.close()
        wrong = [error for error in tab.errors if "the server responded with a status of" not in error]
        assert ([], []) == (wrong, tab.outside)
