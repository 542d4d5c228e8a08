"""The page of the demo in a browser: headless Chromium, against ``duplexer serve``.

The page forbids `eval` to itself, so what is waited for are locators, not expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.sync.client import connect

from tests.integration.browser import CHROMIUM, launched
from tests.integration.cli_process import Process, server

PICTURES = Path(__file__).parents[2] / "artefacts"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    with server("serve") as (_, url):
        yield url.replace("ws://", "http://")


@pytest.fixture
def open_page(browser: Browser, demo: str) -> Iterator[Any]:
    """Opens pages; at the end no page may have complained."""
    complaints: list[str] = []
    contexts = []

    def opened(
        url: str = demo, *, scheme: str = "light", size: Any = DESKTOP, at: str = ""
    ) -> Page:
        context = browser.new_context(color_scheme=scheme, viewport=size)
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{url}/{at}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def connected(page: Page) -> Page:
    """Press the button and wait until the connection is open."""
    page.click("#toggle")
    expect(page.locator("#state")).to_have_attribute("data-state", "open")
    return page


def picture(page: Page, name: str) -> None:
    """Keep a picture of the page for people to look at."""
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"demo-{name}.png")


def opcodes(page: Page) -> list[tuple[str, str]]:
    """Direction and opcode of each row of the log."""
    rows = page.locator("#log > li")
    return [
        (row.get_attribute("class") or "", row.locator(".op").inner_text()) for row in rows.all()
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_echo_shows_direction_opcode_size_and_round_trip(open_page: Any, scheme: str) -> None:
    page = connected(open_page(scheme=scheme))
    page.fill("#message", "Grüße")
    page.click("#send")
    expect(page.locator("#log > li")).to_have_count(3)
    page.locator('input[value="binary"]').check()
    page.fill("#message", "00 ff 10")
    page.press("#message", "Control+Enter")
    rows = page.locator("#log > li")
    expect(rows).to_have_count(5)
    assert opcodes(page) == [
        ("none", "open"),
        ("out", "text"),
        ("in", "text"),
        ("out", "binary"),
        ("in", "binary"),
    ]
    assert rows.nth(2).locator(".bytes").inner_text() == "7 B"
    assert rows.nth(2).locator(".what").inner_text() == "Grüße"
    assert re.fullmatch(r"[\d.]+ m?s", rows.nth(2).locator(".rtt").inner_text())
    assert rows.nth(4).locator(".what").inner_text() == "00 ff 10"
    expect(page.locator("#stat-sent")).to_have_text("2")
    expect(page.locator("#stat-received")).to_have_text("2")
    expect(page.locator("#stat-median")).to_contain_text("ms")
    picture(page, f"echo-{scheme}")


def test_close_with_a_code_is_explained(open_page: Any) -> None:
    page = connected(open_page())
    page.fill("#code", "1001")
    expect(page.locator("#code-hint")).to_contain_text("Going away")
    expect(page.locator("#close")).to_be_disabled()  # a page may not send it
    page.fill("#code", "4000")
    page.fill("#reason", "ä" * 62)
    expect(page.locator("#code-hint")).to_contain_text("124 bytes")
    page.fill("#reason", "<i>done</i>")
    page.click("#close")
    expect(page.locator("#notice-title")).to_have_text("Closed by you: private code")
    expect(page.locator("#notice-code")).to_have_text("4000")
    expect(page.locator("#notice-reason")).to_contain_text("<i>done</i>")
    assert opcodes(page)[-1] == ("out", "close")
    expect(page.locator("#toggle")).to_have_text("Connect")
    picture(page, "closed")
    page.locator("details.codes > summary").click()
    expect(page.locator("#codes dt")).to_have_count(17)
    page.click("#dismiss")
    expect(page.locator("#notice")).to_be_hidden()


def test_closed_by_the_server_and_not_to_be_opened(browser: Browser, open_page: Any) -> None:
    with server("serve") as (running, url):
        page = connected(open_page(url.replace("ws://", "http://")))
        stop(running)
        expect(page.locator("#notice-title")).to_have_text("Closed by the server: service restart")
        expect(page.locator("#state")).to_have_text("Closed 1012")
    page.on("console", lambda _: None)
    context = page.context
    page.close()
    context.close()


def stop(running: Process) -> None:
    """End a server as its user does."""
    assert running.stop()[0] == 0


def test_chat_between_two_pages_is_safe_from_markup(open_page: Any) -> None:
    ada = open_page(scheme="dark", at="#chat")
    ada.fill("#name", "Ada")
    connected(ada)
    expect(ada.locator("#said")).to_contain_text("You are now Ada")
    phone = open_page(size=PHONE, at="#chat")
    phone.fill("#name", "<b>Bob</b>")
    connected(phone)
    expect(ada.locator("#people")).to_have_text("2 here: Ada, <b>Bob</b>")
    attack = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    phone.fill("#words", attack)
    phone.press("#words", "Enter")
    expect(ada.locator("#said .words")).to_have_text(attack)
    expect(ada.locator("#said .who")).to_contain_text("<b>Bob</b>")
    assert ada.locator("#said img, #said script, #said b, #log img, #log script").count() == 0
    ada.fill("#words", "that did nothing")
    ada.click("#say")
    expect(phone.locator("#said .words").last).to_have_text("that did nothing")
    picture(ada, "chat-dark")
    picture(phone, "chat-phone")
    phone.click("#toggle")
    expect(ada.locator("#said li").last).to_have_text("<b>Bob</b> left")


def test_clock_ticks(open_page: Any) -> None:
    page = connected(open_page(at="#clock"))
    expect(page.locator("#clock-count")).to_have_text("2")
    expect(page.locator("#time")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    expect(page.locator("#clock-gap")).to_have_text(re.compile(r"[\d.]+ m?s"))
    picture(page, "clock")


def test_another_endpoint_while_connected(open_page: Any) -> None:
    page = connected(open_page())
    page.locator('input[value="clock"]').check()
    expect(page.locator("#log .op-open")).to_have_count(2)
    expect(page.locator("#address")).to_have_text(re.compile(r"^ws://.+/clock$"))
    expect(page.locator("#send-form")).to_be_hidden()


def test_wrong_hex_is_named(open_page: Any) -> None:
    page = connected(open_page())
    page.locator('input[value="binary"]').check()
    expect(page.locator("#message")).to_have_value("48 65 6c 6c 6f 2c 20 77 6f 72 6c 64")
    for text, words in (("0g", "“g” is not a hexadecimal digit"), ("0", "odd number")):
        page.fill("#message", text)
        expect(page.locator("#message-hint")).to_contain_text(words)
        expect(page.locator("#send")).to_be_disabled()


def test_the_log_is_bounded(open_page: Any) -> None:
    page = connected(open_page())
    for sent in (100, 200, 300):
        page.click("#burst")
        expect(page.locator("#stat-received")).to_have_text(str(sent))
    expect(page.locator("#count")).to_have_text("601, the last 500 shown")
    assert page.locator("#log > li").count() == 500
    expect(page.locator("#log > li").last).to_be_in_viewport()
    page.click("#clear")
    expect(page.locator("#log > li")).to_have_count(0)
    expect(page.locator("#empty")).to_be_visible()


def test_rows_by_keyboard(open_page: Any) -> None:
    page = connected(open_page())
    page.fill("#message", '{"a": [1]}')
    page.press("#message", "Control+Enter")
    expect(page.locator("#log > li")).to_have_count(3)
    page.locator('#log summary[tabindex="0"]').focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#log > li").last.locator("pre")).to_have_text(
        '{\n  "a": [\n    1\n  ]\n}', use_inner_text=True
    )


def test_filter_and_save(open_page: Any) -> None:
    page = connected(open_page())
    page.click("#send")
    expect(page.locator("#log > li")).to_have_count(3)
    page.locator('input[name="show"][value="in"]').check()
    expect(page.locator("#log > li.out")).to_be_hidden()
    expect(page.locator("#log > li.in")).to_be_visible()
    with page.expect_download() as download:
        page.click("#save")
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 3
    assert '"direction":"received"' in lines[2]


def test_theme_is_chosen_and_remembered(open_page: Any) -> None:
    page = open_page(scheme="dark")
    root = page.locator("html")
    assert root.get_attribute("data-theme") is None
    page.click("#theme")
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")
    page.click("#theme")
    page.click("#theme")
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Colours: as the system")


@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 568}])
def test_nothing_is_wider_than_a_phone(open_page: Any, size: dict[str, int]) -> None:
    for endpoint in ("echo", "chat", "clock"):
        page = connected(open_page(size=size, at=f"#{endpoint}"))
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        picture(page, f"{endpoint}-{size['width']}")


def test_a_page_of_another_site_is_refused(demo: str) -> None:
    url = demo.replace("http://", "ws://")
    with (
        pytest.raises(Exception, match="403"),
        connect(f"{url}/echo", origin="https://evil.example"),  # type: ignore[arg-type]
    ):
        pass
