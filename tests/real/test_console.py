"""The console in a real Chromium: signing in and reviewing, in both languages, and no request leaves the node."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import uvicorn
from playwright.sync_api import Page, sync_playwright

import nodes
from pingyao.app.migrations import migrate
from pingyao.classify import catalogue
from pingyao.platform.asgi import listen
from pingyao.platform.db import open_engine

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('node') / 'n.db'}", migrate)
    catalogue.record(engine, nodes.scan("phone", nodes.HOSTILE, "third", "fourth"), "机器")
    config = uvicorn.Config(nodes.make(engine).app, log_config=None, ws="none")
    server = uvicorn.Server(config)
    with closing(listen("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
    engine.dispose()


@pytest.fixture(params=["zh-CN", "en-GB"])
def page(request: pytest.FixtureRequest, address: str) -> Iterator[Page]:
    """A fresh browser; whatever it complains of or asks elsewhere fails the test."""
    wrong: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(base_url=address, locale=request.param)
        opened.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        opened.on("pageerror", lambda e: wrong.append(str(e)))
        opened.on(
            "request",
            lambda r: None if r.url.startswith((address, "data:")) else wrong.append(r.url),
        )
        yield opened
        browser.close()
    assert not wrong


def test_signing_in_and_reviewing_by_keyboard(page: Page) -> None:
    page.goto("/")
    assert page.url.endswith("/sign-in")
    page.keyboard.type("officer1")
    page.keyboard.press("Tab")
    page.keyboard.type(nodes.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('总览'), h1:has-text('Overview')")
    zh = page.locator("html").get_attribute("lang") == "zh-CN"
    page.goto("/catalogue?state=review")
    waiting = page.locator("input[name=column]").count()
    assert waiting >= 1
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="证据" if zh else "Evidence").wait_for()
    page.locator("form[action='/catalogue/correct'] select[name=level]").select_option("4")
    page.locator("#reason").fill("经核对" if zh else "checked")
    page.locator("form[action='/catalogue/correct'] button").click()
    page.get_by_role("status").wait_for()
    assert page.locator("h1 .lv4").count() == 1
    page.goto("/catalogue")
    with page.expect_response(lambda r: "state=review" in r.url):
        page.locator("#state").select_option("review")
    page.wait_for_function(
        f"document.querySelectorAll('input[name=column]').length === {waiting - 1}"
    )
    assert "state=review" in page.url
    page.locator("input[name=column]").first.check()
    page.locator("#list button").click()
    page.get_by_role("status").wait_for()
    assert page.locator("input[name=column]").count() == waiting - 2
    page.locator("#sign-out").click()
    page.goto("/catalogue")
    assert page.url.endswith("/sign-in")


def test_languages_and_appearances_are_kept(page: Page) -> None:
    page.goto("/sign-in")
    before = page.locator("html").get_attribute("lang")
    page.locator("button[name=language]").click()
    page.wait_for_selector(f"html:not([lang='{before}'])")
    for expected in ("light", "dark"):
        page.locator("button[name=theme]").click()
        page.wait_for_selector(f"html[data-bs-theme={expected}]")
