"""Looking at a screen as everybody does: who sees little, who has keys alone, at a desk and on a telephone.

With ``PINGYAO_SCREENS`` set to a folder, pictures of what is looked at are left there.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import nodes

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
THEMES = ("light", "dark")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_DESK, _TELEPHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
_FOCUSABLE = """() => [...document.querySelectorAll(
  'a[href],button,input:not([type=hidden]),select,textarea,summary')]
  .filter(e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility())
  .map((e, i) => (e.dataset.nth = String(i)))"""
_FOCUSED = """() => { const e = document.activeElement;
  return [e.dataset.nth ?? '', getComputedStyle(e).outlineStyle + getComputedStyle(e).boxShadow]; }"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Gives a browser."""
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield opened
        opened.close()


@contextmanager
def watched(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """Gives a fresh browser at a node's address; what fails in it or asks elsewhere fails the test."""
    wrong: list[str] = []
    context = browser.new_context(base_url=address, viewport=_DESK, reduced_motion="reduce")
    policy = "Content Security Policy"
    context.on("console", lambda m: wrong.append(m.text) if policy in m.text else None)
    context.on("weberror", lambda e: wrong.append(str(e.error)))
    context.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:")) else wrong.append(r.url),
    )
    yield context
    context.close()
    assert not wrong


def prefer(context: BrowserContext, **chosen: str) -> None:
    """Sets language or theme of a browser."""
    at = {"domain": "127.0.0.1", "path": "/"}
    context.add_cookies([{"name": k, "value": v, **at} for k, v in chosen.items()])


def sign_in(page: Page, name: str, password: str = nodes.PASSWORD) -> None:
    """Gives name and password, and waits for what comes of it."""
    page.goto("/sign-in")
    page.fill("#name", name)
    page.fill("#password", password)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def faults(page: Page) -> list[tuple[str, list[str]]]:
    """Returns what shuts somebody out, by axe."""
    found = Axe().run(page).response["violations"]
    return [
        (each["id"], [n["html"][:160] for n in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def narrow(page: Page) -> bool:
    """Tells whether a telephone shows all of it without scrolling to the side."""
    page.set_viewport_size(_TELEPHONE)
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(_DESK)
    return wide <= _TELEPHONE["width"]


def unreached(page: Page) -> set[str]:
    """Returns what the tab key does not reach; what it reaches must show that it has the focus."""
    wanted = set(page.evaluate(_FOCUSABLE))
    reached: set[str] = set()
    for _ in range(4 * len(wanted)):  # a date has several stops
        page.keyboard.press("Tab")
        nth, shown = page.evaluate(_FOCUSED)
        if reached == wanted:
            break
        if nth:
            reached.add(nth)
            assert shown != "nonenone", (page.url, nth)
    return wanted - reached


def picture(page: Page, name: str) -> None:
    """Leaves a picture of a screen, as at a desk and as on a telephone."""
    folder = os.environ.get("PINGYAO_SCREENS")
    if folder:
        for kind, size in (("", _DESK), ("-small", _TELEPHONE)):
            page.set_viewport_size(size)
            page.screenshot(path=Path(folder) / f"{name}{kind}.png", full_page=True)
        page.set_viewport_size(_DESK)
