"""A province on one machine, for trying out: a centre and four banks, joined by the real protocol."""

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
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
from cyclopts import App, Parameter

from pingyao.kernel.errors import Conflict, Invalid, NotFound, Unavailable, Unsupported
from pingyao.platform import processes
from pingyao.platform.files import write_atomically
from pingyao.platform.processes import Process

if TYPE_CHECKING:  # only who runs a node has the web's libraries
    import sqlalchemy as sa

    from pingyao.platform.members.desk import Desk
    from pingyao.platform.members.model import Member

app = App(name="province", help="演示用的一省：一个中心与四家银行，都在本机")
Folder = Annotated[Path, Parameter(help="放在哪个目录")]
_STATE, _LOCK, _NAME = "province.json", ".province.lock", "演示程序 province"
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


class _Running(msgspec.Struct, frozen=True):
    """A node that was started."""

    port: int
    process: Process


class _State(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of a province between commands; the file also marks the folder as one."""

    format: str = "pingyao-province-1"
    nodes: dict[str, _Running] = {}


@app.command
def up(
    folder: Folder = Path("province"),
    /,
    *,
    port: Annotated[int, Parameter(help="中心的端口，各银行依次加一；0 为任意空闲端口")] = 0,
) -> None:
    """建立并启动一个中心与四家银行，彼此受邀加入，然后给出地址。可重复运行，从中断处继续。"""
    from pingyao.app.node import needs_extra

    needs_extra()
    if not hasattr(os, "pidfd_open"):
        raise Unsupported("province.linux", "演示省只能在 Linux 上运行", "请在 Linux 上使用")
    if port and not 1024 <= port <= 65_535 - len(SITES):
        raise Invalid("province.bad_port", "端口不合规定", "须为 1024 至 65530，或 0")
    folder = folder.absolute()
    with _held(folder, make=True) as state:
        started = time.monotonic()
        for number, site in enumerate(SITES, 1):
            if not (folder / site.folder).exists():
                _say(f"建立节点 {number}/{len(SITES)}：{site.name}")
                _found(folder, site)
        _say("启动五个节点")
        _start(folder, state, port)
        _join_all(folder, state)
        _say(f"完成，用时 {time.monotonic() - started:.0f} 秒")
        _show(folder, state)


@app.command
def status(folder: Folder = Path("province"), /) -> None:
    """各节点是否在运行，地址是什么。"""
    folder = folder.absolute()
    with _held(folder) as state:
        _show(folder, state)


@app.command
def down(
    folder: Folder = Path("province"),
    /,
    *,
    keep: Annotated[bool, Parameter(help="只停止，保留数据", negative="")] = False,
    yes: Annotated[bool, Parameter(help="删除数据前不再询问", negative="")] = False,
) -> None:
    """停止所有节点，并删除它们的数据。"""
    folder = folder.absolute()
    with _held(folder) as state:
        if not keep and not yes and not _agreed(folder):
            return
        for name, running in list(state.nodes.items()):
            stopped = processes.stop(running.process)
            _say(f"{name}：{'已停止' if stopped else '本来就没有运行'}")
            if keep:
                continue
            del state.nodes[name]
            _save(folder, state)
        if keep:
            return
        for site in SITES:
            for each in (site.folder, f"{site.folder}.new"):
                shutil.rmtree(folder / each, ignore_errors=True)
        (folder / _STATE).unlink()
        (folder / _LOCK).unlink()
    with contextlib.suppress(OSError):  # something of the user's own lies there too
        folder.rmdir()
    _say("数据已删除")


def _found(folder: Path, site: Site) -> None:
    """Makes a node; its folder takes its name when all of it is there."""
    from pingyao.platform.identity import people, totp
    from pingyao.platform.identity.model import Institution
    from pingyao.platform.members import register, ring
    from pingyao.platform.members.model import Profile
    from pingyao.platform.policy import ADMINISTRATORS

    making = folder / f"{site.folder}.new"
    shutil.rmtree(making, ignore_errors=True)
    (making / "passwords").mkdir(mode=0o700, parents=True)
    engine = _engine(making)
    secret = totp.make_key(making / "node.key")
    whose = Institution(site.name, site.uscc, site.role, second_factor=False)
    admins = [(role, f"{role} administrator", role) for role in ADMINISTRATORS]
    for each in people.found(engine, whose, admins, _NAME):
        file = making / "passwords" / f"{each.account.name}.txt"
        write_atomically(file, f"{each.password}\n".encode())
    register.write_profile(
        engine, Profile(site.name, site.uscc, site.role, "", site.kind, "140000"), _NAME, {}
    )
    ring.ensure(engine, ring.StoreRing(making / "node.key", secret), _NAME)
    engine.dispose()
    making.rename(folder / site.folder)


def _start(folder: Path, state: _State, port: int) -> None:
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
        state.nodes[site.folder] = _Running(wanted, processes.remember(child.pid))
        _save(folder, state)
        waiting.append((site, child.pid, at))
    until = time.monotonic() + _SECONDS
    for site, _, at in waiting:
        running = state.nodes[site.folder]
        found = _await(folder / site.folder / "node.log", at, running.process, until)
        state.nodes[site.folder] = _Running(found, running.process)
        _save(folder, state)
        _say(f"已启动 {site.name}：{_address(found)}")


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
        with urllib.request.urlopen(f"{_address(port)}readyz", timeout=2) as answer:  # noqa: S310 - http, loopback
            return answer.status == 200
    except OSError:
        return False


def _join_all(folder: Path, state: _State) -> None:
    desks = {s.folder: _desk(folder / s.folder, s.uscc) for s in SITES}
    try:
        addresses = {s.uscc: _address(state.nodes[s.folder].port).rstrip("/") for s in SITES}
        for site in SITES:
            _set_address(desks[site.folder], addresses[site.uscc])
        _say("四家银行受邀加入。指纹由本命令代双方核对；真实机构之间须由两人通话核对")
        for site in SITES[1:]:
            _join(desks["centre"], desks[site.folder], site, addresses)
    finally:
        for desk in desks.values():
            desk.engine.dispose()


def _join(centre: "Desk", bank: "Desk", site: Site, addresses: dict[str, str]) -> None:
    """Goes all the way of an invitation, or what is left of it, and tries the result."""
    from pingyao.platform.members import joining, store
    from pingyao.platform.members.machine import PREFIX, Pong
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
    bank.send(there.id, "POST", f"{PREFIX}/ping", b"{}").read(Pong)
    _say(f"{site.name} 已加入（{site.suite}），签名请求与应答核对无误")


def _readdress(desk: "Desk", member: "Member", addresses: dict[str, str]) -> None:
    """Lets a node know the port the other has today; real institutions keep their addresses."""
    from pingyao.platform.members import store

    today = addresses[member.profile.uscc]
    if member.profile.address != today:
        with desk.engine.begin() as db:
            store.update(db, member.id, address=today)


def _set_address(desk: "Desk", address: str) -> None:
    from pingyao.platform.members import register, store

    with desk.engine.connect() as db:
        profile = store.read_profile(db)
    if profile is not None and profile.address != address:
        changed = msgspec.structs.replace(profile, address=address)
        register.write_profile(desk.engine, changed, _NAME, {})


def _desk(home: Path, uscc: str) -> "Desk":
    from pingyao.platform.identity import totp
    from pingyao.platform.members.desk import Desk
    from pingyao.platform.members.ring import StoreRing

    key = home / "node.key"
    return Desk(_engine(home), StoreRing(key, totp.read_key(key)), uscc)


def _engine(home: Path) -> "sa.Engine":
    from pingyao.app.migrations import migrate
    from pingyao.platform.db import open_engine

    return open_engine(_url(home), migrate)


def _url(home: Path) -> str:
    return f"sqlite:///{home / 'pingyao.db'}"


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}/"


def _show(folder: Path, state: _State) -> None:
    for site in SITES:
        running = state.nodes.get(site.folder)
        alive = running is not None and processes.runs(running.process)
        where = _address(running.port) if running is not None and alive else "没有运行"
        print(f"{site.folder:8}{where:26}{site.name}")
    print(f"首次登录的一次性口令：{folder}/<节点>/passwords/ 下各管理员一个文件")
    print("账号 system、security、audit；登录即须改口令")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _agreed(folder: Path) -> bool:
    if not sys.stdin.isatty():
        raise Invalid("province.not_asked", "删除数据须经同意", "请加 --yes，或加 --keep 只停止")
    return input(f"删除 {folder} 下五个节点的全部数据？输入 yes 继续：").strip() == "yes"


@contextlib.contextmanager
def _held(folder: Path, *, make: bool = False) -> Generator[_State]:
    """Gives the state of a province to one command at a time."""
    mark = folder / _STATE
    if make and not mark.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(e.name != _LOCK for e in folder.iterdir()):
            raise Conflict("province.not_empty", f"{folder.name} 不是空目录", "请换一个目录")
    elif not mark.exists():
        raise NotFound("province.none", f"{folder.name} 不是演示省", "请先运行 pingyao province up")
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "province.busy", "另一个 province 命令正在运行", "请等它结束后再试"
            ) from None
        try:
            state = (
                msgspec.json.decode(mark.read_bytes(), type=_State) if mark.exists() else _State()
            )
        except msgspec.MsgspecError:
            raise Invalid("province.damaged", f"{mark} 已损坏", "请核对该文件") from None
        _save(folder, state)
        yield state
    finally:
        os.close(handle)


def _save(folder: Path, state: _State) -> None:
    write_atomically(folder / _STATE, msgspec.json.encode(state) + b"\n")
