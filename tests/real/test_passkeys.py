"""Security keys in a real Chromium with its virtual authenticator: registered, asked for, refused when copied."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
import uvicorn
from playwright.sync_api import CDPSession, Page, sync_playwright

import nodes
from pingyao.app.migrations import migrate
from pingyao.kernel.errors import Invalid, NotPermitted
from pingyao.platform import audit
from pingyao.platform.asgi import listen
from pingyao.platform.db import open_engine
from pingyao.platform.identity import passkeys, pending, sessions, store

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture
def node(tmp_path: Path, quick_passwords: None) -> Iterator[nodes.Tested]:
    engine = open_engine(f"sqlite:///{tmp_path / 'n.db'}", migrate)
    yield nodes.make(engine, hosts={"localhost"})
    engine.dispose()


@pytest.fixture
def address(node: nodes.Tested) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(node.app, log_config=None, ws="none"))
    with closing(listen("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://localhost:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    wrong: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(base_url=address, locale="zh-CN")
        opened.on("pageerror", lambda e: wrong.append(str(e)))
        opened.on("console", lambda m: wrong.append(m.text) if "Content Security" in m.text else 0)
        yield opened
        browser.close()
    assert not wrong


@pytest.fixture
def key(page: Page) -> tuple[CDPSession, str]:
    """A security key plugged into the browser."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "usb", "hasResidentKey": False}
    options |= {"hasUserVerification": False, "automaticPresenceSimulation": True}
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, made["authenticatorId"]


def sign_in(page: Page) -> None:
    page.goto("/sign-in")
    page.locator("#name").fill("officer1")
    page.locator("#password").fill(nodes.PASSWORD)
    page.locator("main button").click()


def register(page: Page) -> None:
    page.goto("/account")
    page.locator("#key-name").fill("办公室的密钥")
    page.locator("form[data-passkey=register] button").click()
    page.get_by_text("安全密钥已登记").wait_for()


def kinds(node: nodes.Tested) -> list[str]:
    with node.engine.connect() as db:
        return [e.kind for e in audit.read(db, audit.Search(), before=None, limit=50)]


def test_a_key_is_registered_asked_for_and_refused_when_copied(
    page: Page, node: nodes.Tested, key: tuple[CDPSession, str]
) -> None:
    session, authenticator = key
    sign_in(page)
    page.wait_for_url("**/")
    register(page)
    page.locator("form[action*='/remove'] button").click()
    page.get_by_text("这是唯一的第二因子").wait_for()
    page.locator("#sign-out").click()
    page.wait_for_url("**/sign-in")
    with pytest.raises(NotPermitted):  # a password alone is not enough any more, nor by the API
        sessions.sign_in(node.engine, nodes.KEY, "officer1", nodes.PASSWORD, "", "")
    sign_in(page)
    page.get_by_role("heading", name="第二步验证").wait_for()
    page.locator("form[data-passkey=answer] button").click()
    page.wait_for_selector("h1:has-text('总览')")
    assert kinds(node)[0] == "identity.session.started"
    page.locator("#sign-out").click()
    page.wait_for_url("**/sign-in")

    # The same key with a counter that stands still, as a copy of it would show.
    held = session.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})
    credential = held["credentials"][0]
    at = {"authenticatorId": authenticator}
    session.send("WebAuthn.removeCredential", at | {"credentialId": credential["credentialId"]})
    session.send("WebAuthn.addCredential", at | {"credential": credential | {"signCount": 0}})
    sign_in(page)
    page.locator("form[data-passkey=answer] button").click()
    page.get_by_role("alert").filter(has_text="不对").wait_for()
    assert "identity.passkey.suspected" in kinds(node)


def test_an_answer_is_good_once_and_for_its_site_and_person(
    page: Page, node: nodes.Tested, address: str, key: tuple[CDPSession, str]
) -> None:
    sign_in(page)
    page.wait_for_url("**/")
    register(page)
    page.locator("#sign-out").click()
    page.wait_for_url("**/sign-in")
    sent: list[str] = []
    page.on("request", lambda r: sent.append(r.post_data or "") if "second" in r.url else None)
    sign_in(page)
    page.locator("form[data-passkey=answer] button").click()
    page.wait_for_selector("h1:has-text('总览')")
    from urllib.parse import parse_qs

    (form,) = (parse_qs(s) for s in sent)
    ticket, shown = form["ticket"][0], form["shown"][0]

    def finish(ticket: str, shown: str, origin: str = address) -> None:
        with pytest.raises(NotPermitted):
            sessions.finish(node.engine, nodes.KEY, ticket, shown, origin, "")

    finish(ticket, shown)  # again
    finish("", shown)

    def another(account: str = "officer", site: str = "localhost", **changes: str) -> str:
        number = node.people[account].id
        with node.engine.begin() as db:
            said = json.loads(shown)["response"]["clientDataJSON"]
            client = json.loads(_decoded(said))
            held = {"site": site, "challenge": client["challenge"], "way": "password"} | changes
            return pending.hold(db, "second", number, held, 60)

    finish(another(challenge="AAAA"), shown)
    finish(another("reader"), shown)
    finish(another(site="evil.example"), shown)
    finish(another(), shown, "http://evil.example")
    finish(another(), "{}")
    finish(another(), "{" + "x" * 100)
    finish(another(), "000000")
    changed = json.loads(shown)
    changed["response"]["signature"] = changed["response"]["signature"][:-8] + "AAAAAAAA"
    finish(another(), json.dumps(changed))
    for credential in ("", "{}", shown, '{"response": {"clientDataJSON": "!!"}}'):
        with pytest.raises(Invalid):
            passkeys.register(
                node.engine, node.actor("officer"), "x", credential, "localhost", address
            )
    with node.engine.begin() as db:
        db.execute(sa.update(store.accounts).values(failures=0, locked_until=0))
        db.execute(sa.update(store.passkeys).values(sign_count=0))
    good = sessions.finish(node.engine, nodes.KEY, another(), shown, address, "")
    assert good.actor.name == "officer1"  # so the refusals above were for their own reasons


def _decoded(text: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
