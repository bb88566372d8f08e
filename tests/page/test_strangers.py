"""Pages of strangers in a real browser, before a proxy without a key that is reached by plain HTTP and a name, where
browsers send no ``Sec-Fetch-Site``."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Error, Page

from tests.conftest import Launch
from tests.page.test_cors import MODELS, a_site
from tests.support.processes import Proxy, StandIn

POST = """
async ([url, mode]) => {
  const body = JSON.stringify({model: "m", messages: [{role: "user", content: "Hi"}]});
  try {
    const reply = await fetch(url + "/chat", {method: "POST", body, mode, headers: {"content-type": "text/plain"}});
    return reply.status;
  } catch (problem) { return problem.message; }
}"""
FORM = """
(url) => {
  const form = document.createElement("form");
  Object.assign(form, {method: "POST", action: url + "/chat", enctype: "text/plain"});
  const field = document.createElement("input");
  Object.assign(field, {name: '{"model": "m", "messages": [{"role": "user", "content": "Hi"}], "user": "', value: '"}'});
  form.append(field);
  document.body.append(form);
  form.submit();
}"""


@pytest.fixture
def stranger(chromium: Browser) -> Iterator[Page]:
    """A page in a browser for which all names under .example and .internal are this machine."""
    rules = "MAP *.example 127.0.0.1, MAP *.internal 127.0.0.1"
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules={rules}"]
    browser = chromium.browser_type.launch(executable_path=shutil.which("chromium"), args=arguments)
    yield browser.new_page()
    browser.close()


@pytest.fixture
def proxy(launch: Launch) -> Proxy:
    return launch(f"{MODELS}proxy: {{allowed_hosts: [llm.example]}}\n")


def under(name: str, url: str) -> str:
    return f"http://{name}:{urlsplit(url).port}"


@pytest.mark.parametrize("mode", ["no-cors", "cors"])
def test_a_page_of_another_site_causes_no_generation(
    proxy: Proxy, stand_in: StandIn, stranger: Page, mode: str
) -> None:
    before = stand_in.stats()["generations"]
    with a_site() as site:
        stranger.goto(under("evil.example", site))
        told = stranger.evaluate(POST, [under("proxy.internal", proxy.url), mode])
    proxy.wait_event(event="request.rejected", code="origin_not_allowed")
    assert told in (0, "Failed to fetch")
    assert before == stand_in.stats()["generations"]


def test_a_form_of_another_site_causes_no_generation(proxy: Proxy, stand_in: StandIn, stranger: Page) -> None:
    before = stand_in.stats()["generations"]
    with a_site() as site:
        stranger.goto(under("evil.example", site))
        with suppress(Error):
            stranger.evaluate(FORM, under("proxy.internal", proxy.url))
        stranger.wait_for_url("**/chat")
    assert "origin_not_allowed" in stranger.content()
    assert before == stand_in.stats()["generations"]


@pytest.mark.parametrize("path", ["/", "/metrics", "/v1/models"])
def test_a_name_that_is_let_lead_here_reads_nothing(proxy: Proxy, stranger: Page, path: str) -> None:
    reply = stranger.goto(under("evil.example", proxy.url) + path)
    assert reply is not None
    assert (403, "host_not_allowed") == (reply.status, reply.json()["error"]["code"])


@pytest.mark.parametrize("name", ["llm.example", "proxy.internal", "127.0.0.1", "localhost"])
def test_its_own_page_works_under_its_names(proxy: Proxy, stranger: Page, name: str) -> None:
    url = under(name, proxy.url)
    stranger.goto(url)
    assert 200 == stranger.evaluate(POST, ["", "cors"])
    stranger.get_by_label("Your message").fill("Hi")
    stranger.keyboard.press("Enter")
    stranger.get_by_text("Hello! You wrote").last.wait_for()


def test_a_link_of_another_site_opens_the_page(proxy: Proxy, stranger: Page) -> None:
    with a_site() as site:
        stranger.goto(site)
        stranger.evaluate("(url) => { location = url }", proxy.url)
        stranger.get_by_label("Your message").wait_for()
