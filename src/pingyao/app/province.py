"""The commands ``pingyao province …``: a centre and four banks on one machine, for trying out."""

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pingyao.app import sites
from pingyao.app.sites import SITES, State, say
from pingyao.kernel.errors import Invalid, Unsupported
from pingyao.platform import processes

app = App(name="province", help="演示用的一省：一个中心与四家银行，都在本机")
Folder = Annotated[Path, Parameter(help="放在哪个目录")]


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
    with sites.held(folder, make=True) as state:
        started = time.monotonic()
        for number, site in enumerate(SITES, 1):
            if not (folder / site.folder).exists():
                say(f"建立节点 {number}/{len(SITES)}：{site.name}")
                sites.found(folder, site)
        say("启动五个节点")
        sites.start(folder, state, port)
        sites.join_all(folder, state)
        say(f"完成，用时 {time.monotonic() - started:.0f} 秒")
        _show(folder, state)


@app.command
def status(folder: Folder = Path("province"), /) -> None:
    """各节点是否在运行，地址是什么。"""
    folder = folder.absolute()
    with sites.held(folder) as state:
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
    with sites.held(folder) as state:
        if not keep and not yes and not _agreed(folder):
            return
        for name, running in list(state.nodes.items()):
            stopped = processes.stop(running.process)
            say(f"{name}：{'已停止' if stopped else '本来就没有运行'}")
            if keep:
                continue
            del state.nodes[name]
            sites.save(folder, state)
        if keep:
            return
        for site in SITES:
            for each in (site.folder, f"{site.folder}.new"):
                shutil.rmtree(folder / each, ignore_errors=True)
        (folder / sites.STATE).unlink()
        (folder / sites.LOCK).unlink()
    with contextlib.suppress(OSError):  # something of the user's own lies there too
        folder.rmdir()
    say("数据已删除")


def _show(folder: Path, state: State) -> None:
    for site in SITES:
        running = state.nodes.get(site.folder)
        alive = running is not None and processes.runs(running.process)
        where = sites.address(running.port) if running is not None and alive else "没有运行"
        print(f"{site.folder:8}{where:26}{site.name}")
    print(f"首次登录的一次性口令：{folder}/<节点>/passwords/ 下各管理员一个文件")
    print("账号 system、security、audit；登录即须改口令")


def _agreed(folder: Path) -> bool:
    if not sys.stdin.isatty():
        raise Invalid("province.not_asked", "删除数据须经同意", "请加 --yes，或加 --keep 只停止")
    return input(f"删除 {folder} 下五个节点的全部数据？输入 yes 继续：").strip() == "yes"
