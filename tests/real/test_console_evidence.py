"""The evidence explorer in a real Chromium, in both languages: a genuine and a changed report, and a proof."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page, sync_playwright

import nodes
from evidenced import House
from pingyao.app.migrations import migrate
from pingyao.platform.asgi import listen
from pingyao.platform.db import open_engine

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
REPORT = "".join(f"<p>{n}</p>\n" for n in range(100))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('node') / 'n.db'}", migrate)
    with House(engine, tmp_path_factory.mktemp("house")) as house:
        made = nodes.make(engine, archive=house.archive)
        house.record("report.html", REPORT)
        house.seal()
        server = uvicorn.Server(uvicorn.Config(made.app, log_config=None, ws="none"))
        with closing(listen("127.0.0.1", 0)) as listener:
            sockets = {"sockets": [listener]}
            thread = threading.Thread(target=server.run, kwargs=sockets, daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            thread.join(10)
    engine.dispose()


@pytest.fixture(params=["zh-CN", "en-GB"])
def page(request: pytest.FixtureRequest, address: str) -> Iterator[Page]:
    """A browser of the officer; whatever it complains of or asks elsewhere fails the test."""
    wrong: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(base_url=address, locale=request.param)
        # A refusal is an error to the console; what the policy of the page blocks would be one of ours.
        policy = "Content Security Policy"
        opened.on("console", lambda m: wrong.append(m.text) if policy in m.text else None)
        opened.on("pageerror", lambda e: wrong.append(str(e)))
        opened.on(
            "request",
            lambda r: None if r.url.startswith((address, "data:")) else wrong.append(r.url),
        )
        opened.goto("/sign-in")
        opened.fill("#name", "officer1")
        opened.fill("#password", nodes.PASSWORD)
        opened.keyboard.press("Enter")
        opened.wait_for_url(lambda url: "sign-in" not in url)
        yield opened
        browser.close()
    assert not wrong


def test_a_report_is_verified_where_it_is(page: Page, tmp_path: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda r: sent.append(r.url) if r.method == "POST" else None)
    genuine, other = tmp_path / "renamed.html", tmp_path / "report.html"
    genuine.write_text(REPORT)
    other.write_text(REPORT.replace("<p>41</p>", "<p>42</p>"))
    page.goto("/evidence")
    page.locator("a[href='/evidence/verify']").first.click()
    page.set_input_files("#file", genuine)
    page.wait_for_selector("[data-outcome=same]")
    assert page.locator(".steps-of-proof li").count() == 5
    page.set_input_files("#file", other)
    page.wait_for_selector("[data-outcome=altered]")
    assert all(url.endswith("/evidence/verify") for url in sent)  # the hash alone has left
    page.locator("[data-send]").click()
    said = (
        "第 42 行 被改动"
        if "zh" in page.locator("html").get_attribute("lang")
        else "line 42 changed"
    )
    page.wait_for_selector(f"#result li:has-text('{said}')")
    stranger = tmp_path / "stranger.bin"
    stranger.write_bytes(bytes(1000))
    page.set_input_files("#file", stranger)
    page.wait_for_selector("[data-outcome=unknown]")


def test_a_proof_is_taken_along_and_verified(page: Page, tmp_path: Path) -> None:
    page.goto("/evidence?subject=report.html")
    page.locator("tbody a").first.click()
    page.wait_for_selector(".steps-of-proof")
    assert page.get_by_text("SHA-256", exact=True).count() == 0
    page.fill("#reason", "核对上月报告")
    page.locator("form[action$='/open'] button").first.click()
    page.wait_for_selector("dt:text-is('SHA-256')")
    with page.expect_download() as started:
        page.locator("form[action$='/proof'] button").click()
    proof = tmp_path / "a.tlog-proof"
    started.value.save_as(proof)
    page.goto("/evidence/verify")
    page.set_input_files("#file", proof)
    page.wait_for_selector("[data-outcome=proven]")
    changed = tmp_path / "b.tlog-proof"
    changed.write_bytes(proof.read_bytes().replace(b"index ", b"index 1"))
    page.set_input_files("#file", changed)
    page.wait_for_selector("#result:has-text('ledger.proof.')")
    assert page.locator("[data-outcome]").count() == 0
