"""``python -m tests.page.picture``: takes deploy/figures/page.png for the README, of the page in front of the simulator."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

from tests.support.processes import ROOT, Proxy

PICTURE = ROOT / "deploy" / "figures" / "page.png"
LEAD_UP = 4
SIZE: ViewportSize = {"width": 1040, "height": 700}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        proxy = Proxy(env={"LOG_FORMAT": "json"}, cwd=Path(folder), arguments=["--demo"])
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.goto(proxy.url)
        for _ in range(LEAD_UP):  # so that there is something to plot
            page.get_by_role("button", name="Explain something").click()
            page.get_by_text("tokens/s").wait_for()
            page.wait_for_timeout(4000)
            page.get_by_role("button", name="New chat").click()
        page.get_by_role("button", name="Call a tool").click()
        page.get_by_role("button", name="Send result").click()
        page.get_by_text("Here is what I found").wait_for()
        page.get_by_label("Offer get_weather").uncheck()
        page.get_by_label("Your message").fill("And what do I wear there?")
        page.wait_for_timeout(2500)
        page.get_by_role("button", name="Send", exact=True).click()
        page.wait_for_timeout(900)
        page.screenshot(path=PICTURE)
        browser.close()
        proxy.stop()


if __name__ == "__main__":
    sys.exit(main())
