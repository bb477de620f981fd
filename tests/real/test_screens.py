"""Every screen of the console, as its routes list them: readable by everybody, usable by keyboard."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, BrowserContext

import circle
import looking
import nodes
from evidenced import House
from pingyao.app.migrations import migrate
from pingyao.classify import catalogue, runs
from pingyao.classify.runs import Ending, Progress
from pingyao.platform.db import open_engine
from pingyao.platform.members import roster_store, store
from pingyao.platform.members.model import Key, Member, Profile, Roster
from pingyao.platform.policy import ROLES, Actor, permits

pytestmark = looking.needs_chromium
NO_SCREENS = re.compile(
    r"^/(api/|static/|-|openapi|healthz|readyz|metrics|member/)|/export|/reports/|/proof$|/checkpoint$|/oidc"
)
LOOKS = [*product(("zh", "en"), looking.THEMES)]


@contextmanager
def furnished(folder: Path) -> Iterator[nodes.Tested]:
    """Gives a node with something on every screen."""
    engine = open_engine(f"sqlite:///{folder / 'n.db'}", migrate)
    catalogue.record(engine, nodes.scan("phone", nodes.HOSTILE, "third", "fourth"), "机器")
    with engine.begin() as db:
        source = runs.register(db, "核心系统", "postgresql://db.bank/core", None, "root")
    officer = Actor(1, "officer1", "officer")
    for ending in ("failed", "done", ""):
        run = runs.ask(engine, officer, source)
        runs.claim(engine)
        runs.tell(engine, run.id, Progress(3, "t_cust", 400, 1000, 5000, 800_000))
        if ending:
            why = ("scan.unreachable", "连接不上 db.bank，或连接中断。", "请检查主机名、端口")
            said = why if ending == "failed" else ("", "", "")
            runs.end(engine, run.id, Progress(4, rows=6000), Ending(ending, 1, 2, *said))
    _members(engine)
    with House(engine, folder / "house") as house:
        house.record("扫描报告.html", "<p>report</p>")
        made = nodes.make(engine, archive=house.archive)
        house.seal()
        house.forget(0)
        yield made
    engine.dispose()


def _members(engine: sa.Engine) -> None:
    """Writes a centre down, and banks that it vouches for, one of them revoked."""
    centre = Profile("省级中心", "12140000MB0BBBBB00", "centre", "", "regulator", "140000")
    keys = tuple(
        Key(f"{use}{n}".ljust(32, "0"), use, "sm2", bytes(65), 1, 2**31, revoked_at, "介质遗失")
        for n, (use, revoked_at) in enumerate([("sign", 1_790_000_000), ("sign", 0), ("seal", 0)])
    )
    known = Member(0, centre, "national", "active", "", 1, 1, 1, "security1", 0, "", keys=keys)
    pending = msgspec.structs.replace(known, state="pending", fingerprint="0123456789" * 4)
    with engine.begin() as db:
        for number, (name, state) in enumerate(
            [("晋阳银行", "active"), (nodes.HOSTILE, "revoked"), ("汾河银行", "active")]
        ):
            bank = Profile(name, f"91140000MA0ZZZZ{number:03}", "member", "", "bank", "140100")
            if number == 0:
                store.write(db, known)
            listed = {"id": 0, "profile": bank, "state": state, "via": 1, "keys": ()}
            store.write(db, msgspec.structs.replace(known, **listed))
        waiting = Profile("潞州银行", "91140000MA0YYYY001", "member", "", "bank", "140400")
        store.write(db, msgspec.structs.replace(pending, profile=waiting, keys=()))
        roster_store.claim(db, 1)
        roster_store.write(db, Roster(1, 1_795_642_177, "e0dc" * 16, b"", "", 1, 1), b"")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[nodes.Tested, str]]:
    with furnished(tmp_path_factory.mktemp("node")) as made, circle.served(made.app) as address:
        yield made, address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with looking.chromium() as opened:
        yield opened


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
    with looking.watched(browser, address) as context:
        if request.param:
            page = context.new_page()
            looking.sign_in(page, made.people[request.param].name)
            page.close()
        yield context, screens(made, request.param)


def test_nobody_is_shut_out_by_how_it_looks(seated: tuple[BrowserContext, list[str]]) -> None:
    context, paths = seated
    found = []
    for path, (language, theme) in product(paths, LOOKS):
        looking.prefer(context, language=language, theme=theme)
        page = context.new_page()
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("html").get_attribute("lang") == ("zh-CN" if language == "zh" else "en")
        name = path.strip("/").replace("/", "-") or "front"
        looking.picture(page, f"{name}-{language}-{theme}")
        found += [(path, language, theme, *fault) for fault in looking.faults(page)]
        assert looking.narrow(page), path
        page.close()
    assert not found


def test_everything_is_reached_by_the_tab_key_and_seen(
    seated: tuple[BrowserContext, list[str]],
) -> None:
    context, paths = seated
    looking.prefer(context, language="zh", theme="light")
    for path in paths:
        page = context.new_page()
        page.goto(path)
        assert not looking.unreached(page), path
        page.close()


def test_every_screen_is_looked_at(node: tuple[nodes.Tested, str]) -> None:
    made, _ = node
    seen = [path for role in ("", *ROLES) for path in screens(made, role)]
    assert {"/sign-in", "/", "/catalogue", "/scans", "/people", "/audit", "/account"} <= {*seen}
    assert len(seen) == len({*seen})
