"""Every screen of the console, as its routes list them: readable by everybody, usable by keyboard.

With ``PINGYAO_SCREENS`` set to a folder, a picture of every screen is left there.
"""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import nodes
from evidenced import House
from pingyao.app.migrations import migrate
from pingyao.classify import catalogue, runs
from pingyao.classify.runs import Ending, Progress
from pingyao.platform.asgi import listen
from pingyao.platform.db import open_engine
from pingyao.platform.policy import ROLES, Actor, permits

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
NO_SCREENS = re.compile(
    r"^/(api/|static/|-|openapi|healthz|readyz|metrics|member/)|/export|/reports/|/proof$|/checkpoint$|/oidc"
)
LOOKS = [*product(("zh", "en"), ("light", "dark"))]
FOCUSABLE = """() => [...document.querySelectorAll(
  'a[href],button,input:not([type=hidden]),select,textarea,summary')]
  .filter(e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility())
  .map((e, i) => (e.dataset.nth = String(i)))"""
FOCUSED = """() => { const e = document.activeElement;
  return [e.dataset.nth ?? '', getComputedStyle(e).outlineStyle + getComputedStyle(e).boxShadow]; }"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[nodes.Tested, str]]:
    """A node with something on every screen, and its address."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('node') / 'n.db'}", migrate)
    catalogue.record(engine, nodes.scan("phone", nodes.HOSTILE, "third", "fourth"), "机器")
    with engine.begin() as db:
        source = runs.register(db, "核心系统", "postgresql://db.bank/core", None, "root")
    officer = Actor(1, "officer1", "officer")
    for ending in ("failed", "done", ""):
        run = runs.ask(engine, officer, source)
        runs.claim(engine)
        runs.tell(engine, run.id, Progress(3, "t_cust", 400, 1000, 5000, 800_000))
        if ending:
            said = (
                ("scan.unreachable", "连不上", "请检查网络") if ending == "failed" else ("", "", "")
            )
            runs.end(engine, run.id, Progress(4, rows=6000), Ending(ending, 1, 2, *said))
    house = House(engine, tmp_path_factory.mktemp("house"))
    house.record("扫描报告.html", "<p>report</p>")
    made = nodes.make(engine, archive=house.archive)
    house.seal()
    house.forget(0)
    server = uvicorn.Server(uvicorn.Config(made.app, log_config=None, ws="none"))
    with closing(listen("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield made, f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
    house.close()
    engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def screens(node: nodes.Tested, role: str) -> list[str]:
    """Returns the paths of all screens that are shown to a role first."""
    found = []
    for route in node.app.routes:
        for handler in getattr(route, "route_handlers", ()):
            path = re.sub(r"\{number:int\}|\{place:str\}", "1", route.path)
            action = handler.opt.get("action", "")
            if "GET" not in handler.http_methods or NO_SCREENS.search(path) or "{" in path:
                continue
            first = next((r for r in ROLES if permits(Actor(9, "x", r), action)), "")
            if first == role:
                found.append(path)
    return found


@pytest.fixture(params=["", *ROLES])
def seated(
    request: pytest.FixtureRequest, browser: Browser, node: tuple[nodes.Tested, str]
) -> Iterator[tuple[BrowserContext, list[str]]]:
    """A browser of somebody with a role, and the screens to look at; nothing may go wrong in it."""
    made, address = node
    wrong: list[str] = []
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    context.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    context.on("weberror", lambda e: wrong.append(str(e.error)))
    context.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:")) else wrong.append(r.url),
    )
    if request.param:
        page = context.new_page()
        page.goto("/sign-in")
        page.fill("#name", made.people[request.param].name)
        page.fill("#password", nodes.PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "sign-in" not in url)
        page.close()
    yield context, screens(made, request.param)
    context.close()
    assert not wrong


def look(context: BrowserContext, language: str, theme: str) -> None:
    for name, value in (("language", language), ("theme", theme)):
        context.add_cookies(
            [{"name": name, "value": value, "domain": "127.0.0.1", "path": "/"}],
        )


def picture(page: Page, path: str, language: str, theme: str) -> None:
    folder = os.environ.get("PINGYAO_SCREENS")
    if folder:
        name = path.strip("/").replace("/", "-") or "front"
        page.screenshot(path=Path(folder) / f"{name}-{language}-{theme}.png", full_page=True)


def test_nobody_is_shut_out_by_how_it_looks(seated: tuple[BrowserContext, list[str]]) -> None:
    context, paths = seated
    found = []
    for path, (language, theme) in product(paths, LOOKS):
        look(context, language, theme)
        page = context.new_page()
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("html").get_attribute("lang") == ("zh-CN" if language == "zh" else "en")
        picture(page, path, language, theme)
        for each in Axe().run(page).response["violations"]:
            if each["impact"] in ("serious", "critical"):
                where = [n["html"][:160] for n in each["nodes"][:3]]
                found.append((path, language, theme, each["id"], where))
        page.close()
    assert not found


def test_everything_is_reached_by_the_tab_key_and_seen(
    seated: tuple[BrowserContext, list[str]],
) -> None:
    context, paths = seated
    look(context, "zh", "light")
    for path in paths:
        page = context.new_page()
        page.goto(path)
        wanted = set(page.evaluate(FOCUSABLE))
        reached = set()
        for _ in range(4 * len(wanted)):  # a date has several stops
            page.keyboard.press("Tab")
            nth, shown = page.evaluate(FOCUSED)
            if reached == wanted:
                break
            if nth:
                reached.add(nth)
                assert shown != "nonenone", (path, nth)
        assert reached == wanted, path
        page.close()


def test_every_screen_is_looked_at(node: tuple[nodes.Tested, str]) -> None:
    made, _ = node
    seen = [path for role in ("", *ROLES) for path in screens(made, role)]
    assert {"/sign-in", "/", "/catalogue", "/scans", "/people", "/audit", "/account"} <= {*seen}
    assert len(seen) == len({*seen})
