"""The page as people use it: by mouse, by keyboard, on a phone, in the dark, with a key, and when things fail."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.conftest import ONCE, Launch
from tests.page.conftest import Visit
from tests.support.processes import Proxy, StandIn

SLOW = {"text": "One two three four five six.", "interval_s": 0.4}
KEY = "planted-caller-key"
PHONE = {"viewport": {"width": 320, "height": 640}, "is_mobile": True, "has_touch": True}


def test_an_answer_streams(proxy: Proxy, stand_in: StandIn, visit: Visit) -> None:
    """Its beginning is there long before its end; the page's own correlation id went all the way."""
    tab = visit(proxy.url)
    stand_in.script(tab.correlation_id, SLOW)
    tab.ask("Count!")
    tab.wait_for("One two")
    assert "six" not in tab.page.locator("article.assistant").inner_text()
    expect(tab.page.locator("article.assistant")).to_have_attribute("aria-busy", "true")
    tab.wait_for_end()
    said = tab.page.locator("article.assistant").inner_text()
    assert "One two three four five six." in said
    assert re.search(r"first token \d+\.\d\d s\s+\d+ tokens\s+\d+\.\d tokens/s\s+stackspot/agent", said)
    assert tab.correlation_id in said
    assert 1 == len(stand_in.requests(tab.correlation_id))


def test_the_conversation_goes_on_and_begins_anew(proxy: Proxy, stand_in: StandIn, visit: Visit) -> None:
    tab = visit(proxy.url)
    first = tab.correlation_id
    stand_in.script(first, {"text": "Recife."}, {"text": "It is."})
    for text in ("A city?", "Is it warm?"):
        tab.ask(text)
        tab.wait_for_end()
    prompt = stand_in.requests(first)[1]["body"]["user_prompt"]
    assert [] == [text for text in ("A city?", "Recife.", "Is it warm?") if text not in prompt]
    tab.page.get_by_role("button", name="New chat").click()
    assert first != tab.correlation_id
    expect(tab.page.locator("article")).to_have_count(0)


def test_a_new_chat_forgets_the_answer_under_way(proxy: Proxy, stand_in: StandIn, visit: Visit) -> None:
    tab = visit(proxy.url)
    stand_in.script(tab.correlation_id, SLOW)
    tab.ask("Count!")
    tab.wait_for("One two")
    tab.page.get_by_role("button", name="New chat").click()
    tab.ask("Hi")
    tab.wait_for_end()
    assert 2 == tab.page.evaluate("messages.length")


def test_a_tool_call_and_its_result(proxy: Proxy, stand_in: StandIn, visit: Visit) -> None:
    tab = visit(proxy.url)
    tab.page.get_by_role("button", name="Call a tool").click()
    tab.wait_for("Tool call: get_weather")
    expect(tab.page.locator(".call pre")).to_have_text('{"city":"Recife"}')
    tab.page.get_by_label("Result of get_weather").fill("31 degrees")
    tab.page.keyboard.press("Enter")
    tab.wait_for("Here is what I found: 31 degrees")
    tab.wait_for("result: 31 degrees")
    tab.wait_for_end()
    assert 2 == len(stand_in.requests(tab.correlation_id))


def test_an_error_is_shown_as_the_api_gives_it(proxy: Proxy, stand_in: StandIn, visit: Visit) -> None:
    """And what was asked is there to be sent again."""
    tab = visit(proxy.url)
    stand_in.script(tab.correlation_id, {"status": 500, "body": {"message": "no"}}, {"text": "Now."})
    tab.ask("Hi?")
    tab.wait_for("502 · upstream_failed")
    assert "x-request-id: " in tab.page.get_by_role("alert").last.inner_text()
    expect(tab.page.get_by_label("Your message")).to_have_value("Hi?")
    tab.page.get_by_role("button", name="Send", exact=True).click()
    tab.wait_for("Now.")


def test_an_answer_that_breaks_off_is_no_answer(proxy: Proxy, stand_in: StandIn, visit: Visit) -> None:
    tab = visit(proxy.url)
    stand_in.script(tab.correlation_id, {"deltas": ["Half ", "of "], "cut": {"how": "close", "after": 2}})
    tab.ask("Hi")
    tab.wait_for("in the stream · upstream_truncated")
    assert "Half of" in tab.page.locator("article.assistant").inner_text()


def test_a_stream_that_somebody_cuts_on_the_way(proxy: Proxy, visit: Visit) -> None:
    """It ends as if all were well, but for the last frame."""
    tab = visit(proxy.url)
    half = 'data: {"choices":[{"delta":{"content":"Half"}}]}\n\n'
    tab.page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=half))
    tab.ask("Hi")
    tab.wait_for("The stream ended before the answer was complete.")


def test_what_a_model_writes_is_text(proxy: Proxy, stand_in: StandIn, visit: Visit) -> None:
    tab = visit(proxy.url)
    hostile = "<img src=x onerror=alert(1)><script>document.title='hacked'</script>"
    stand_in.script(tab.correlation_id, {"text": hostile})
    tab.ask("Hi")
    tab.wait_for(hostile)
    assert "stackspot-proxy" == tab.page.title()


def test_the_policy_holds(proxy: Proxy, visit: Visit) -> None:
    """Nothing that got into the page would run, load or send anything."""
    tab = visit(proxy.url)
    tab.page.evaluate(
        "window.broken = []; addEventListener('securitypolicyviolation', (e) => broken.push(e.effectiveDirective))"
    )
    tab.page.evaluate(
        "() => { const s = document.createElement('script'); s.append('window.ran = true'); document.body.append(s) }"
    )
    tab.page.evaluate(
        "() => { const s = document.createElement('style'); s.append('*{color:red}'); document.head.append(s) }"
    )
    tab.page.evaluate("() => { new Image().src = 'http://127.0.0.1:1/x.png' }")
    assert "refused" == tab.page.evaluate("fetch('http://127.0.0.1:1/').then(() => 'sent', () => 'refused')")
    assert "refused" == tab.page.evaluate(
        "() => { try { document.body.innerHTML = 'x'; return 'taken' } catch { return 'refused' } }"
    )
    assert tab.page.evaluate("window.ran === undefined")
    tab.page.wait_for_function("broken.length >= 4")
    directives = set(tab.page.evaluate("broken"))
    assert {"style-src-elem", "connect-src", "img-src", "require-trusted-types-for"} == directives
    tab.errors.clear()  # the browser tells of each,
    tab.outside.clear()  # and of requests that it did not send


def test_a_key_is_asked_for(launch: Launch, visit: Visit) -> None:
    """A wrong one is refused in the proxy's words; the right one stays in this tab, and only there."""
    proxy = launch(env={"PROXY_API_KEY": KEY})
    tab = visit(proxy.url)
    door = tab.page.get_by_role("dialog", name="This proxy asks for a key")
    for key, answer in (("wrong", "this proxy does not know the key that was sent"), (KEY, "")):
        door.get_by_label("Key").fill(key)
        tab.page.keyboard.press("Enter")
        if answer:
            tab.wait_for(answer)
    expect(door).to_be_hidden()
    expect(tab.page.get_by_label("Model")).to_have_value("stackspot-ai-chat")
    tab.ask("Hi")
    tab.wait_for("Hello! You wrote")
    assert [0, 1] == tab.page.evaluate("[localStorage.length, sessionStorage.length]")
    tab.page.reload()
    expect(tab.page.get_by_label("Model")).to_have_value("stackspot-ai-chat")


def test_by_the_keyboard_alone(proxy: Proxy, stand_in: StandIn, visit: Visit) -> None:
    tab = visit(proxy.url)
    press, focused = tab.page.keyboard.press, tab.page.locator(":focus")
    expect(focused).to_have_attribute("id", "prompt")
    tab.page.keyboard.type("Two")
    press("Shift+Enter")
    tab.page.keyboard.type("lines")
    stand_in.script(tab.correlation_id, {"text": "On and on and on", "delta_chars": 7, "interval_s": 1})
    press("Enter")
    tab.wait_for("On and")
    press("Escape")
    tab.wait_for_end()
    assert "Two\nlines" in stand_in.requests(tab.correlation_id)[0]["body"]["user_prompt"]
    assert (
        "client_disconnect"
        == proxy.wait_event(event="request.finished", correlation_id=tab.correlation_id)["end_reason"]
    )

    reached = []
    for _ in range(12):
        press("Shift+Tab")
        reached.append(focused.evaluate("(it) => it.id"))
        if reached[-1] == "show":
            break
    assert {"figures", "show"} <= set(reached)
    assert "none" != focused.evaluate("(it) => getComputedStyle(it).outlineStyle"), "the focus can be seen"
    press("Enter")
    expect(focused).to_have_attribute("id", "frames")
    assert f"> correlation-id: {tab.correlation_id}" in focused.inner_text()
    assert 'data: {"id":' in focused.inner_text()
    press("Escape")
    expect(focused).to_have_attribute("id", "show")
    expect(focused).to_have_attribute("aria-expanded", "false")


def test_on_a_phone(proxy: Proxy, visit: Visit) -> None:
    tab = visit(proxy.url, **PHONE)
    tab.page.get_by_label("Your message").fill("Hi " + "x" * 300)
    tab.page.get_by_role("button", name="Send", exact=True).tap()
    tab.wait_for_end()
    tab.wait_for("Hello! You wrote")
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off at the side"
    for name in ("Send", "New chat", "Raw frames"):
        expect(tab.page.get_by_role("button", name=name, exact=True)).to_be_in_viewport(ratio=1)
    expect(tab.page.get_by_label("Model")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_it_is_accessible(proxy: Proxy, stand_in: StandIn, visit: Visit, scheme: str, size: str) -> None:
    """Says axe, of a conversation with a tool call and an error, the drawer open: names, roles, contrast."""
    tab = visit(proxy.url, color_scheme=scheme, **(PHONE if size == "phone" else {}))
    tab.page.get_by_role("button", name="Call a tool").click()
    tab.wait_for("Tool call: get_weather")
    stand_in.script(tab.correlation_id, {"status": 500, "body": {}})
    tab.ask("Hi")
    tab.wait_for("502 · upstream_failed")
    for _ in range(2):
        found = Axe().run(tab.page)
        assert 0 == found.violations_count, found.generate_report()
        tab.page.get_by_role("button", name="Raw frames").click()


def test_dark_is_dark(proxy: Proxy, visit: Visit) -> None:
    shade = "parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    light, dark = (visit(proxy.url, color_scheme=scheme).page.evaluate(shade) for scheme in ("light", "dark"))
    assert (True, True) == (light > 200, dark < 60)


def test_live_figures(launch: Launch, stand_in: StandIn, visit: Visit) -> None:
    """A stream under way shows, and what has come of it."""
    proxy = launch()
    tab = visit(proxy.url)

    def figure(name: str) -> str:
        return tab.page.locator(".figure", has_text=name).inner_text()

    stand_in.script(tab.correlation_id, {"text": "a b c d e f", "interval_s": 0.8})
    tab.ask("Hi")
    expect(tab.page.locator(".figure", has_text="Streams in flight").locator("dd").first).to_have_text("1")
    tab.wait_for_end()
    expect(tab.page.locator(".figure", has_text="Streams in flight")).to_contain_text("1 ended")
    assert re.search(r"\d+ ms", figure("Login (JWT)"))
    assert re.search(r"[1-9]\d* sent", figure("Chunks per second"))
    assert 3 <= len(tab.page.locator(".figure polyline").first.get_attribute("points").split())  # type: ignore[union-attr]


def test_another_header_and_a_page_that_is_off(launch: Launch, stand_in: StandIn, visit: Visit) -> None:
    models = "model_list: [{model_name: m, litellm_params: {model: stackspot/agent}}]\n"
    proxy = launch(f"{models}{ONCE}proxy: {{correlation: {{header: x-conversation}}}}\n")
    tab = visit(proxy.url)
    tab.ask("Hi")
    tab.wait_for("Hello! You wrote")
    assert 200 == proxy.wait_event(event="request.finished", correlation_id=tab.correlation_id)["status"]
    off = launch(f"{models}proxy: {{page: false}}\n")
    assert 404 == off.client.get("/").status_code
    assert "/" not in off.client.get("/openapi.json").json()["paths"]
