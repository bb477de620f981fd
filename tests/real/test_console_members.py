"""Members in a real Chromium: invited on one screen, compared on another, in both languages."""

import shutil
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Page, sync_playwright

import circle
import nodes
from pingyao.app.migrations import migrate
from pingyao.platform.db import open_engine
from pingyao.platform.identity import passwords
from pingyao.platform.members import documents

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def sign_in(page: Page, role: str) -> None:
    page.context.clear_cookies()
    page.goto("/sign-in")
    page.locator("[name=name]").fill(f"{role}1")
    page.locator("[name=password]").fill(nodes.PASSWORD)
    page.locator("[name=password]").press("Enter")
    page.wait_for_selector("#sign-out")
    page.goto("/members")


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_an_institution_joins(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)
    engine = open_engine(f"sqlite:///{tmp_path / 'c.db'}", migrate)
    wrong: list[str] = []
    with circle.circle(engine, tmp_path) as (a, b), sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )

        def open_page(party: circle.Party) -> Page:
            page = browser.new_page(base_url=party.address, locale=language)
            page.on("pageerror", lambda e: wrong.append(str(e)))
            return page

        centre, bank = open_page(a), open_page(b)
        sign_in(centre, "system")
        centre.goto("/members/joining")
        form = "form[action='/members/invitations']"
        centre.locator(f"{form} [name=name]").fill(circle.BANK.name)
        centre.locator(f"{form} [name=uscc]").fill(circle.BANK.uscc)
        centre.locator(f"{form} select").select_option("national")
        centre.locator(f"{form} button").press("Enter")
        invitation = centre.locator("textarea[readonly]").input_value()
        sign_in(bank, "system")
        bank.goto("/members/joining")
        bank.locator("#invitation").fill(invitation)
        bank.locator("form[action='/members/join'] button").press("Enter")
        bank.get_by_role("status").wait_for()
        assert (
            bank.locator("input[name=fingerprint]").count() == 0
        )  # not for who has invited or joined
        sign_in(bank, "security")
        bank.get_by_role("link", name=circle.CENTRE.name).click()
        spoken = bank.locator(".secret").inner_text()
        assert documents.digits(spoken) == a.member(circle.BANK.uscc).fingerprint
        sign_in(centre, "security")
        centre.get_by_role("link", name=circle.BANK.name).click()
        centre.locator("input[name=fingerprint]").fill("0" * 40)
        centre.locator("input[name=fingerprint]").press("Enter")
        centre.get_by_role("alert").wait_for()
        centre.locator("input[name=fingerprint]").fill(spoken)
        centre.locator("input[name=fingerprint]").press("Enter")
        centre.get_by_role("status").wait_for()
        assert a.member(circle.BANK.uscc).state == "active"
        centre.locator("summary").first.press("Enter")
        centre.locator("details[open] input[name=why]").fill("介质遗失")
        centre.locator("details[open] input[name=why]").press("Enter")
        centre.get_by_role("status").wait_for()
        assert sum(bool(k.revoked_at) for k in a.member(circle.BANK.uscc).keys) == 1
        assert a.member(circle.BANK.uscc).state == "active"
        centre.locator("#wmember").fill("试用结束")
        centre.locator("#wmember").press("Enter")
        centre.get_by_role("status").wait_for()
        assert a.member(circle.BANK.uscc).state == "revoked"
        browser.close()
    engine.dispose()
    assert not wrong
