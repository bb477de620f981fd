"""``pingyao lifecycle``: retention, destruction with two signatures, export approvals, assessment."""

import getpass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pingyao.app.evidence import settle
from pingyao.app.opening import Db, open_catalogue
from pingyao.app.signing import (
    Id,
    Json,
    Key,
    Keystore,
    dump,
    hand_of,
)
from pingyao.platform.term import print_table

app = App(
    name="lifecycle",
    help="数据的留存、删除与销毁、导出审批、生命周期评估 · retention, destruction, approvals, assessment",
)
person = App(name="person", help="登记可以签名的人员及其密钥、角色")
app.command(person)
_PARTS = {
    "retention": ("pingyao.app.retaining:retention", "留存期限：规则、起算日、到期清单、暂缓删除"),
    "destroy": ("pingyao.app.destroying:destroy", "删除与销毁：申请、两人批准、执行、核实、凭证"),
    "export": ("pingyao.app.exporting:export", "导出审批：申请、按级别由相应角色批准、一次有效"),
    "assess": ("pingyao.app.assessing:assess", "JR/T 0223 生命周期评估：由证据与人作答"),
}
for _name, (_path, _help) in _PARTS.items():
    app.command(_path, name=_name, help=_help)


@person.command(name="register")
def register_(
    name: str,
    /,
    *,
    key: Key,
    role: Annotated[tuple[str, ...], Parameter(help="审批导出的角色，可重复给出")] = (),
    keystore: Keystore = None,
    db: Db = None,
) -> None:
    """登记一名人员的公钥与角色；登记人须当面核实其身份。私钥不离开本人的密钥库。"""
    from pingyao.protect.acting import register
    from pingyao.protect.formats.certificate import fingerprint

    engine = open_catalogue(db)
    made = register(engine, hand_of(name, key, keystore), role, getpass.getuser())
    settle(engine)
    print(f"已登记 {made.name}（{made.algorithm}），公钥指纹 {fingerprint(made.public_key)}")


@person.command(name="retire")
def retire_(name: str, /, *, db: Db = None) -> None:
    """停用一名人员的密钥；此前的签名仍然有效。"""
    from pingyao.protect.acting import retire

    engine = open_catalogue(db)
    retire(engine, name, getpass.getuser())
    settle(engine)
    print(f"已停用 {name}")


@person.command(name="list")
def list_persons(*, db: Db = None) -> None:
    """列出已登记的人员。"""
    from pingyao.protect import store
    from pingyao.protect.formats.certificate import fingerprint

    with open_catalogue(db).connect() as connection:
        rows = [
            (
                p.name,
                "、".join(p.roles),
                p.algorithm,
                fingerprint(p.public_key),
                "" if p.active else "已停用",
            )
            for p in store.read_persons(connection)
        ]
    print_table(("姓名", "角色", "算法", "公钥指纹", "状态"), rows)


@app.command
def check(file: Path, /) -> None:
    """离线核验一份销毁凭证：各步签名、办理次序与岗位分离。"""
    from pingyao.protect.formats.certificate import fingerprint, read_certificate
    from pingyao.protect.rules.cases import ACTS

    case = read_certificate(file)
    print(f"{case.id} 签名全部有效，次序与岗位分离无误；公钥指纹请与登记簿核对")
    rows = [
        ("申请", case.requester, case.public_key),
        *((ACTS[s.act], s.actor, s.public_key) for s in case.steps),
    ]
    print_table(("事项", "办理人", "公钥指纹"), [(a, w, fingerprint(k)) for a, w, k in rows])


@app.command
def cases(
    *,
    kind: Annotated[Literal["destruction", "export", ""], Parameter(help="只看一种")] = "",
    source: Annotated[str, Parameter(help="只看某个数据源")] = "",
    db: Db = None,
    json: Json = False,
) -> None:
    """列出删除、销毁与导出的申请及其状态。"""
    from pingyao.protect import store
    from pingyao.protect.rules.cases import STATES, state

    with open_catalogue(db).connect() as connection:
        found = store.read_cases(connection, kind, source)
    if json:
        dump([{"case": c, "state": state(c)} for c in found])
        return
    print_table(
        ("编号", "数据集", "级别", "申请人", "日期", "状态"),
        [
            (
                c.id,
                c.body.source,
                str(c.body.level),
                c.requester,
                f"{c.requested_at.astimezone():%Y-%m-%d}",
                STATES[state(c)],
            )
            for c in found
        ],
    )


@app.command
def show(id_: Id, /, *, db: Db = None, json: Json = False) -> None:
    """查看一件申请的经过，并核验其签名。"""
    from pingyao.protect.acting import find
    from pingyao.protect.formats.certificate import told
    from pingyao.protect.rules.cases import ACTS, STATES, check_signatures, state

    case = find(open_catalogue(db), id_)
    check_signatures(case)
    if json:
        dump(case)
        return
    print(f"{case.id} {STATES[state(case)]}；签名全部有效")
    rows = [("申请", case.requester, case.requested_at, case.body.reason)]
    rows += [(ACTS[s.act], s.actor, s.at, told(s.facts)) for s in case.steps]
    print_table(
        ("事项", "办理人", "时间", "说明"),
        [(a, w, f"{t.astimezone():%Y-%m-%d %H:%M:%S}", f) for a, w, t, f in rows],
    )
