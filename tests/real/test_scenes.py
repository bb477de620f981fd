"""Screens that no address shows by itself: what comes of a form, a refusal, a fault; as ``test_screens``."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from playwright.sync_api import Browser, Page
from sqlalchemy.exc import OperationalError

import circle
import looking
import nodes
from evidenced import House
from pingyao.app.migrations import migrate
from pingyao.platform.db import open_engine
from pingyao.platform.identity import passwords, people, sessions, store, trail
from pingyao.platform.identity.model import SecondStep
from pingyao.platform.members import register, ring
from pingyao.platform.members.model import Profile
from pingyao.platform.members.ring import StoreRing
from pingyao.platform.web.limits import Window

pytestmark = looking.needs_chromium
REPORT = "<p>4,000</p>\n"
REASON = "监管检查，来函〔2026〕7 号"
Scene = Callable[["Stage", Page], None]
SCENES: dict[str, Scene] = {}


class Stage:
    """A centre's node with evidence, on which every scene is brought about by hand."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch, self._stack = folder, patch, ExitStack()
        engine = open_engine(f"sqlite:///{folder / 'n.db'}", migrate)
        self._stack.callback(engine.dispose)
        house = self._stack.enter_context(House(engine, folder / "house"))
        keys = StoreRing(folder / "node.key", nodes.KEY)
        self.node = nodes.make(engine, circle.CENTRE, keys, archive=house.archive)
        ring.ensure(engine, keys, "test")
        self.key = house.record("扫描报告.html", REPORT, {"scan": "核心系统"})
        house.seal()
        self.address = self._stack.enter_context(circle.served(self.node.app))
        c = circle.CENTRE
        given = Profile(c.name, c.uscc, c.role, "", "regulator", "140000", self.address)
        register.describe(engine, self.node.actor("system"), given)
        self._count = 0

    def close(self) -> None:
        self._stack.close()

    def next(self) -> int:
        self._count += 1
        return self._count

    def file(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content, "utf-8")
        return path

    def waiting(self) -> str:
        """Makes an account that waits for its role; returns its name."""
        name = f"zhang.san{self.next()}"
        people.create(self.node.engine, self.node.actor("system"), name, "张三")
        return name

    def keyed(self) -> str:
        """Makes an account with a security key registered here; returns its name."""
        number = self.next()
        made = self.node.account(f"li.si{number}", "officer")
        key = {"account": made.id, "name": "办公室密钥", "site": "127.0.0.1"}
        key |= {"credential": f"key{number:05}", "public_key": b"k", "sign_count": 0}
        with self.node.engine.begin() as db:
            db.execute(sa.insert(store.passkeys).values(**key, created_at=1, used_at=0))
        return made.name


def scene(play: Scene) -> Scene:
    SCENES[play.__name__.replace("_", "-")] = play
    return play


@scene
def signing_in_refused(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "officer1", "wrong")
    page.get_by_role("alert").wait_for()


@scene
def second_step_by_key(stage: Stage, page: Page) -> None:
    looking.sign_in(page, stage.keyed())
    page.locator("[data-passkey=answer] button").click()  # there is no key: the browser gives up
    page.get_by_role("alert").wait_for()


@scene
def second_step_by_code(stage: Stage, page: Page) -> None:
    # As after the provider of the institution has vouched for somebody with a code.
    stage.patch.setattr(sessions, "begin", lambda *_: SecondStep("ticket", "", code=True))
    looking.sign_in(page, "officer1")
    page.wait_for_selector("#shown")


@scene
def first_sign_in(stage: Stage, page: Page) -> None:
    name = stage.waiting()
    everybody = people.listed(stage.node.engine, stage.node.actor("security"))
    number = next(a.id for a in everybody if a.name == name)
    issued = people.grant(stage.node.engine, stage.node.actor("security"), number, "reader")
    looking.sign_in(page, name, issued.password)
    page.get_by_role("status").wait_for()


@scene
def password_refused(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "reader1")
    page.goto("/account")
    for field, text in (("current", nodes.PASSWORD), ("new", "short"), ("again", "short")):
        page.fill(f"#{field}", text)
    page.keyboard.press("Enter")
    page.get_by_role("alert").first.wait_for()


@scene
def second_factor_is_set_up(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "reader1")
    page.goto("/account")
    page.locator("form[action='/account/second-factor'] button").click()
    page.fill("#code", "123456")
    page.keyboard.press("Enter")
    page.get_by_role("alert").first.wait_for()
    page.wait_for_selector(".qr svg")


@scene
def account_waits_for_its_role(stage: Stage, page: Page) -> None:
    stage.waiting()
    looking.sign_in(page, "security1")
    page.goto("/people")


@scene
def one_time_password(stage: Stage, page: Page) -> None:
    name = stage.waiting()
    looking.sign_in(page, "security1")
    page.goto("/people")
    page.locator(f"tr:has-text('{name}') form[action$='/grant'] button").click()
    page.wait_for_selector(".secret")


@scene
def account_name_taken(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "system1")
    page.goto("/people")
    page.fill("#name", "officer1")
    page.fill("#person", "李四")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()


@scene
def invitation(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "system1")
    page.goto("/members/joining")
    form = page.locator("form[action='/members/invitations']")
    form.locator("[name=name]").fill(circle.BANK.name)
    form.locator("[name=uscc]").fill(circle.BANK.uscc)
    form.locator("button").click()
    page.wait_for_selector("textarea[readonly]")


@scene
def token(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "officer1")
    page.goto("/tokens")
    page.fill("#name", f"report.job{stage.next()}")
    for box in page.locator("[name=scopes]").all()[:3]:
        box.check()
    page.locator("form[action='/tokens'] button").click()
    page.wait_for_selector(".secret")


@scene
def token_refused(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "officer1")
    page.goto("/tokens")
    page.fill("#name", "report.job")
    page.locator("form[action='/tokens'] button").click()
    page.get_by_role("alert").wait_for()


def asked(page: Page) -> None:
    looking.sign_in(page, "officer1")
    page.goto("/overrides")
    if not page.locator("form[action$='/end']").count():
        page.select_option("#action", "audit.read")
        page.fill("#reason", "夜间告警，审计管理员联系不上，须查登录记录")
        page.locator("form[action='/overrides'] button").click()
        page.wait_for_selector("form[action$='/end']")


@scene
def override_asked(stage: Stage, page: Page) -> None:
    asked(page)
    looking.sign_in(page, "security1")
    page.goto("/overrides")


@scene
def override_in_force(stage: Stage, page: Page) -> None:
    asked(page)
    looking.sign_in(page, "security1")
    page.goto("/overrides")
    approve = page.locator("form[action$='/decision'] button[value=yes]")
    if approve.count():
        approve.click()
    looking.sign_in(page, "officer1")
    page.goto("/overrides")


@scene
def content_opened(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "audit1")
    page.goto(f"/evidence/{stage.key}")
    page.fill("#reason", REASON)
    page.locator("form[action$='/open'] button").first.click()
    page.get_by_role("status").wait_for()


@scene
def content_without_reason(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "officer1")
    page.goto(f"/evidence/{stage.key}")
    page.fill("#reason", "\u3000看一看 ")
    page.locator("form[action$='/open'] button").first.click()
    page.get_by_role("alert").wait_for()


def verified(stage: Stage, page: Page, name: str, content: str, outcome: str) -> None:
    looking.sign_in(page, "reader1")
    page.goto("/evidence/verify")
    page.set_input_files("#file", stage.file(name, content))
    page.wait_for_selector(f"[data-outcome={outcome}]")


@scene
def file_is_the_same(stage: Stage, page: Page) -> None:
    verified(stage, page, "另存.html", REPORT, "same")


@scene
def file_is_altered(stage: Stage, page: Page) -> None:
    verified(stage, page, "扫描报告.html", "<p>5,000</p>\n", "altered")
    page.locator("[data-send]").click()
    page.wait_for_selector("#result ul li")


@scene
def file_is_unknown(stage: Stage, page: Page) -> None:
    verified(stage, page, "不相干.html", "x", "unknown")


@scene
def proof_is_refused(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "reader1")
    page.goto("/evidence/verify")
    page.set_input_files("#file", stage.file("a.tlog-proof", "no proof"))
    page.wait_for_selector("#result h2")


def refused(page: Page, name: str, path: str, status: int) -> None:
    looking.sign_in(page, name)
    page.goto("/")
    page.evaluate(f"location.href = {path!r}")
    page.get_by_role("alert").wait_for()
    assert page.get_by_text(str(status)).count()


@scene
def problem_403(stage: Stage, page: Page) -> None:
    refused(page, "reader1", "/audit", 403)


@scene
def problem_404(stage: Stage, page: Page) -> None:
    refused(page, "reader1", "/nowhere", 404)


@scene
def problem_404_stranger(stage: Stage, page: Page) -> None:
    page.goto("/nowhere")


@scene
def problem_422(stage: Stage, page: Page) -> None:
    refused(page, "audit1", "/audit?since=2026-02-30", 422)


@scene
def problem_429(stage: Stage, page: Page) -> None:
    looking.sign_in(page, "reader1")
    stage.patch.setattr(Window, "take", lambda self, key: 9)
    page.goto("/account")


@scene
def problem_500(stage: Stage, page: Page) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    looking.sign_in(page, "audit1")
    stage.patch.setattr(trail, "read", fail)
    page.goto("/audit")
    assert "secret" not in page.content()


@scene
def problem_503(stage: Stage, page: Page) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("select 1", {}, Exception("gone"))

    looking.sign_in(page, "audit1")
    stage.patch.setattr(trail, "read", fail)
    page.goto("/audit")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", lambda: hasher)
        made = Stage(tmp_path_factory.mktemp("stage"), patch)
        yield made
        made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with looking.chromium() as opened:
        yield opened


@pytest.mark.parametrize("name", list(SCENES))
def test_a_scene_is_readable_by_everybody_and_usable_by_keyboard(
    name: str, stage: Stage, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for language in ("zh", "en"):
        with looking.watched(browser, stage.address) as context:
            looking.prefer(context, language=language, theme="light")
            page = context.new_page()
            with monkeypatch.context() as stage.patch:
                SCENES[name](stage, page)
            for theme in looking.THEMES:
                page.evaluate(f"document.documentElement.dataset.bsTheme = '{theme}'")
                looking.picture(page, f"scene-{name}-{language}-{theme}")
                found += [(language, theme, *fault) for fault in looking.faults(page)]
            assert looking.narrow(page)
            assert not looking.unreached(page)
    assert not found
