"""The nodes of a province on one machine: made, started, found again, joined by the real protocol."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pingyao.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from pingyao.platform import processes
from pingyao.platform.crypto import keymark
from pingyao.platform.files import write_atomically
from pingyao.platform.processes import Process

if TYPE_CHECKING:  # only who runs a node has the web's libraries
    import sqlalchemy as sa

    from pingyao.platform.members.desk import Desk
    from pingyao.platform.members.model import Member

STATE, LOCK = "province.json", ".province.lock"
_NAME = "演示程序 province"
_SECONDS = 60.0


class Site(NamedTuple):
    """One institution of the province; names and codes are made up, the check characters are right."""

    folder: str
    name: str
    uscc: str
    role: str
    kind: str
    suite: str


SITES = (
    Site("centre", "示例省金融数据中心", "12140000MB0BBBBB00", "centre", "regulator", ""),
    Site("bank1", "示例第一银行", "91140000MA0BBBBB1U", "member", "bank", "international"),
    Site("bank2", "示例第二银行", "91140000MA0CCCCC27", "member", "bank", "international"),
    Site("bank3", "示例第三银行", "91140000MA0DDDDD3J", "member", "bank", "national"),
    Site("bank4", "示例第四银行", "91140000MA0EEEEE4X", "member", "bank", "national"),
)


class Running(msgspec.Struct, frozen=True):
    """A node that was started."""

    port: int
    process: Process


class State(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of a province between commands; the file also marks the folder as one."""

    format: str = "pingyao-province-1"
    nodes: dict[str, Running] = {}


def found(folder: Path, site: Site) -> None:
    """Makes a node; its folder takes its name when all of it is there."""
    from pingyao.app.node import ROLE_NAMES
    from pingyao.platform import nodekey
    from pingyao.platform.identity import people
    from pingyao.platform.identity.model import Institution
    from pingyao.platform.members import register, ring
    from pingyao.platform.members.model import Profile
    from pingyao.platform.policy import ADMINISTRATORS

    making = folder / f"{site.folder}.new"
    shutil.rmtree(making, ignore_errors=True)
    (making / "passwords").mkdir(mode=0o700, parents=True)
    engine = _engine(making)
    secret = nodekey.make_key(making / "node.key")
    whose = Institution(site.name, site.uscc, site.role, second_factor=False)
    admins = [(role, ROLE_NAMES[role], role) for role in ADMINISTRATORS]
    for each in people.found(engine, whose, admins, _NAME):
        file = making / "passwords" / f"{each.account.name}.txt"
        write_atomically(file, f"{each.password}\n".encode())
    register.write_profile(
        engine, Profile(site.name, site.uscc, site.role, "", site.kind, "140000"), _NAME, {}
    )
    ring.ensure(engine, ring.StoreRing(making / "node.key", secret), _NAME)
    engine.dispose()
    made = folder / site.folder
    for place in (making, made):  # of a province taken down before, another stood here
        keymark.forget(place / ring.KEYS)
    making.rename(made)


def start(folder: Path, state: State, port: int) -> None:
    """Starts what does not run, all at once, then waits for each."""
    waiting: list[tuple[Site, int, int]] = []
    for number, site in enumerate(SITES):
        known = state.nodes.get(site.folder)
        if known is not None and processes.runs(known.process):
            continue
        wanted = port + number if port else (known.port if known else 0)
        home = folder / site.folder
        log = home / "node.log"
        at = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            child = subprocess.Popen(  # noqa: S603 - our own command
                [
                    *(sys.executable, "-c", "from pingyao.app.cli import main; main()"),
                    *("node", "serve", "--port", str(wanted), "--key", str(home / "node.key")),
                    *("--db", _url(home)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        # Written down before anything can go wrong: what was started can always be stopped.
        state.nodes[site.folder] = Running(wanted, processes.remember(child.pid))
        save(folder, state)
        waiting.append((site, child.pid, at))
    until = time.monotonic() + _SECONDS
    for site, _, at in waiting:
        running = state.nodes[site.folder]
        found = _await(folder / site.folder / "node.log", at, running.process, until)
        state.nodes[site.folder] = Running(found, running.process)
        save(folder, state)
        say(f"已启动 {site.name}：{address(found)}")


def _await(log: Path, at: int, process: Process, until: float) -> int:
    """Returns the port a node says it answers on, once it does."""
    while time.monotonic() < until and processes.runs(process):
        with log.open("rb") as file:
            file.seek(at)
            said = re.search(
                r"http://127\.0\.0\.1:(\d+)/", file.read(65_536).decode("utf-8", "replace")
            )
        if said and _answers(int(said[1])):
            return int(said[1])
        time.sleep(0.1)
    raise Unavailable(
        "province.not_started",
        f"节点 {log.parent.name} 没有启动",
        f"请查看 {log}；端口若被占用，请先 down 再 up",
    )


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{address(port)}readyz", timeout=2) as answer:  # noqa: S310 - http, loopback
            return answer.status == 200
    except OSError:
        return False


def join_all(folder: Path, state: State) -> None:
    """Joins every bank with the centre, as far as that has not been done."""
    desks = {s.folder: _desk(folder / s.folder, s.uscc) for s in SITES}
    try:
        addresses = {s.uscc: address(state.nodes[s.folder].port).rstrip("/") for s in SITES}
        for site in SITES:
            _set_address(desks[site.folder], addresses[site.uscc])
        say("四家银行受邀加入。指纹由本命令代双方核对；真实机构之间须由两人通话核对")
        for site in SITES[1:]:
            _join(desks["centre"], desks[site.folder], site, addresses)
        banks = [desks[site.folder] for site in SITES[1:]]
        _introduce(banks)
        say("四家银行已取得中心的名册，彼此的签名请求与应答核对无误")
    finally:
        for desk in desks.values():
            desk.engine.dispose()


def _join(centre: "Desk", bank: "Desk", site: Site, addresses: dict[str, str]) -> None:
    """Goes all the way of an invitation, or what is left of it, and tries the result."""
    from pingyao.platform.members import joining, store
    from pingyao.platform.policy import Actor

    invites, confirms = Actor(0, _NAME, "system"), Actor(0, _NAME, "security")
    with centre.engine.connect() as db, bank.engine.connect() as other:
        here, there = store.find(db, site.uscc), store.find(other, SITES[0].uscc)
    if here is None or there is None or here.fingerprint != there.fingerprint:
        text = centre.invite(invites, site.uscc, site.name, site.suite, 1).text
        there = bank.join(invites, text)
        with centre.engine.connect() as db:
            here = store.find(db, site.uscc)
    if here is None:
        raise NotFound("members.no_such_member", "加入没有完成", "请重新运行 up")
    _readdress(centre, here, addresses)
    _readdress(bank, there, addresses)
    if here.state == "pending":
        joining.confirm(centre.engine, confirms, here.id, there.fingerprint)
    if there.state == "pending":
        joining.confirm(bank.engine, confirms, there.id, here.fingerprint)
    bank.ping(confirms, there.id)
    say(f"{site.name} 已加入（{site.suite}），签名请求与应答核对无误")


def _introduce(banks: list["Desk"]) -> None:
    """Has every bank take the centre's roster, and then ask every other bank that it names."""
    from pingyao.platform.members import store
    from pingyao.platform.policy import Actor

    asks = Actor(0, _NAME, "security")
    for fetched in (f for bank in banks for f in bank.fetch(asks)):
        if fetched.error:
            raise Unavailable("province.no_roster", fetched.error, "请重新运行 up")
    for bank in banks:
        with bank.engine.connect() as db:
            others = [m for m in store.read_members(db) if m.via and m.state == "active"]
        for other in others:
            bank.ping(asks, other.id)


def _readdress(desk: "Desk", member: "Member", addresses: dict[str, str]) -> None:
    """Lets a node know the port the other has today; real institutions keep their addresses."""
    from pingyao.platform.members import publishing, store

    today = addresses[member.profile.uscc]
    if member.profile.address != today:
        with desk.engine.begin() as db:
            store.update(db, member.id, address=today)
            publishing.publish(db, _NAME, datetime.now(UTC))


def _set_address(desk: "Desk", address: str) -> None:
    from pingyao.platform.members import register, store

    with desk.engine.connect() as db:
        profile = store.read_profile(db)
    if profile is not None and profile.address != address:
        changed = msgspec.structs.replace(profile, address=address)
        register.write_profile(desk.engine, changed, _NAME, {})


def _desk(home: Path, uscc: str) -> "Desk":
    from pingyao.platform import nodekey
    from pingyao.platform.members.desk import Desk
    from pingyao.platform.members.ring import StoreRing

    key = home / "node.key"
    return Desk(_engine(home), StoreRing(key, nodekey.read_key(key)), uscc)


def _engine(home: Path) -> "sa.Engine":
    from pingyao.app.migrations import migrate
    from pingyao.platform.db import open_engine

    return open_engine(_url(home), migrate)


def _url(home: Path) -> str:
    return f"sqlite:///{home / 'pingyao.db'}"


def address(port: int) -> str:
    """Returns where a node answers."""
    return f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def held(folder: Path, *, make: bool = False) -> Generator[State]:
    """Gives the state of a province to one command at a time."""
    mark = folder / STATE
    if make and not mark.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(e.name != LOCK for e in folder.iterdir()):
            raise Conflict("province.not_empty", f"{folder.name} 不是空目录", "请换一个目录")
    elif not mark.exists():
        raise NotFound("province.none", f"{folder.name} 不是演示省", "请先运行 pingyao province up")
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "province.busy", "另一个 province 命令正在运行", "请等它结束后再试"
            ) from None
        try:
            state = msgspec.json.decode(mark.read_bytes(), type=State) if mark.exists() else State()
        except msgspec.MsgspecError:
            raise Invalid("province.damaged", f"{mark} 已损坏", "请核对该文件") from None
        save(folder, state)
        yield state
    finally:
        os.close(handle)


def save(folder: Path, state: State) -> None:
    """Writes the state down."""
    write_atomically(folder / STATE, msgspec.json.encode(state) + b"\n")


def say(text: str) -> None:
    """Tells how far it is."""
    print(text, file=sys.stderr, flush=True)
