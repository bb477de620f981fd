"""``pingyao lifecycle destroy``: asked for, approved by two, carried out, looked for, certified."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from pingyao.app.evidence import settle
from pingyao.app.opening import Db, open_catalogue
from pingyao.app.retaining import dues, find_table
from pingyao.app.signing import (
    As,
    DataKeystore,
    Id,
    Key,
    Keystore,
    Own,
    Reason,
    act_on,
    day,
    hand_of,
    open_keys,
    rules_in_force,
)
from pingyao.kernel.errors import Conflict, Invalid, NotPermitted

if TYPE_CHECKING:  # commands import what they need when they run
    from pingyao.platform.crypto.keystore import KeyStore
    from pingyao.protect.lifecycle_model import Case, Destruction, Due

destroy = App(name="destroy", help="删除与销毁：申请、两人批准、执行、核实、凭证")


@destroy.command
def request(
    source: str,
    where: str,
    /,
    *,
    reason: Reason,
    as_: As,
    key: Key,
    kind: Annotated[
        Literal["file", "sealed", "table", "rows", "media"],
        Parameter(help="file 文件、sealed 加密文件、table 数据库表、rows 表中的行、media 存储介质"),
    ] = "file",
    method: Annotated[
        Literal["delete", "overwrite", "crypto_erase", "physical"],
        Parameter(
            help="delete 删除、overwrite 覆写后删除、crypto_erase 销毁密钥、physical 物理销毁"
        ),
    ] = "delete",
    end: Annotated[
        Literal["deletion", "destruction"],
        Parameter(help="deletion 删除（系统中不可再访问）、destruction 销毁（不可恢复）"),
    ] = "deletion",
    table: Annotated[str, Parameter(help="数据库中的表，或 模式.表名")] = "",
    of: Annotated[str, Parameter(help="目录中对应的表；不给则按数据源的最高级别")] = "",
    column: Annotated[str, Parameter(help="按行删除时的日期列")] = "",
    before: Annotated[str, Parameter(help="按行删除：早于此日的行，如 2015-01-01")] = "",
    keystore: Keystore = None,
    policy: Own = (),
    db: Db = None,
) -> None:
    """申请删除或销毁。SOURCE 是目录中的数据源；WHERE 是文件、数据库地址或介质编号。

    留存期未满、暂缓删除的，不予受理；级别与类别取自目录。
    """
    from pingyao.protect.acting import request_destruction
    from pingyao.protect.erasing import FIT
    from pingyao.protect.lifecycle_model import Destruction, Thing

    rules, engine = rules_in_force(policy), open_catalogue(db)
    if method not in FIT[kind]:
        raise Invalid(
            "erase.bad_method",
            "这种对象不能用这种方法销毁",
            f"可用：{'、'.join(sorted(FIT[kind]))}",
        )
    if (kind in ("table", "rows")) != bool(table) or (kind == "rows") != bool(column and before):
        raise Invalid("lifecycle.bad_option", "table 须给出 --table，rows 另须 --column 与 --before", "请改正后再试")  # fmt: skip
    if before:
        day(before)
    with engine.connect() as connection:
        found = dues(connection, rules, date.today(), source)  # noqa: DTZ011 - the institution's own day
    schema, name = find_table([d.holding for d in found], source, of)
    mine = [d for d in found if not name or (d.holding.schema, d.holding.table) == (schema, name)]
    said = _may_go(mine, before)
    in_schema, _, in_table = table.rpartition(".")
    if kind in ("file", "sealed") or (kind != "media" and "://" not in where):
        where = str(Path(where).absolute())
    if "://" in where and "@" in where:  # a password in the address is nobody's to keep
        head, _, tail = where.partition("://")
        login, _, host = tail.rpartition("@")
        where = f"{head}://{login.partition(':')[0]}@{host}"
    body = Destruction(
        Thing(kind, where, in_schema, in_table, column, before),
        method,
        end,
        source,
        max(d.holding.level for d in mine),
        max(d.holding.personal for d in mine),
        reason,
        said,
    )
    case = request_destruction(engine, hand_of(as_, key, keystore), body, rules)
    settle(engine)
    print(f"已受理 {case.id}：{body.level} 级数据，须由申请人以外的两人批准")


def _may_go(mine: "Sequence[Due]", before: str) -> str:
    """Returns what the schedules say, when they do not forbid it."""
    for each in mine:
        least = any(s.bound == "least" for s in each.schedules)
        old_enough = bool(before) and each.cutoff is not None and before <= f"{each.cutoff}"
        if each.status == "hold" or (least and each.status != "due" and not old_enough):
            raise NotPermitted(
                "lifecycle.must_keep",
                f"{each.holding.table} 不得删除：{each.why}",
                "留存期满、登记起算日（retention start）或解除暂缓后再申请；"
                f"按行删除的，--before 不得晚于 {each.cutoff}",
            )
    return "；".join(dict.fromkeys(d.why for d in mine))[:500]


@destroy.command
def approve(id_: Id, /, *, as_: As, key: Key, keystore: Keystore = None, db: Db = None) -> None:
    """批准。须两名不同的人，均不是申请人。"""
    act_on(id_, hand_of(as_, key, keystore), "approve", db)


@destroy.command
def refuse(
    id_: Id, /, *, reason: Reason, as_: As, key: Key, keystore: Keystore = None, db: Db = None
) -> None:
    """不批准。"""
    act_on(id_, hand_of(as_, key, keystore), "refuse", db, reason=reason)


@destroy.command
def withdraw(
    id_: Id, /, *, reason: Reason, as_: As, key: Key, keystore: Keystore = None, db: Db = None
) -> None:
    """由申请人撤回。"""
    act_on(id_, hand_of(as_, key, keystore), "withdraw", db, reason=reason)


Attachment = Annotated[tuple[Path, ...], Parameter(help="佐证文件，记其 SHA-256；可重复给出")]
Said = Annotated[str, Parameter("--statement", help="存储介质：由何机构、以何方法、在何处")]


@destroy.command
def carry_out(
    id_: Id,
    /,
    *,
    as_: As,
    key: Key,
    statement: Said = "",
    attachment: Attachment = (),
    data_keystore: DataKeystore = None,
    keystore: Keystore = None,
    db: Db = None,
) -> None:
    """执行已批准的删除或销毁；不可撤销。中断后可再次执行。"""
    from pingyao.protect import erasing
    from pingyao.protect.rules.cases import state

    case, body = _destruction(id_, db)
    who, keys = hand_of(as_, key, keystore), _keys(body, data_keystore)
    if body.thing.kind == "media" and not (statement.strip() and attachment):
        raise Invalid("lifecycle.no_statement", "介质的销毁须有说明与佐证", "请给出 --statement 与 --attachment")  # fmt: skip
    facts = _attached(statement, attachment)
    seen: erasing.Facts = {} if state(case) == "started" else erasing.inspect(body, keys)
    act_on(id_, who, "start", db, **seen)
    act_on(id_, who, "carry_out", db, **erasing.carry_out(body, keys, case.id), **facts)


@destroy.command
def verify(
    id_: Id,
    /,
    *,
    as_: As,
    key: Key,
    statement: Said = "",
    attachment: Attachment = (),
    data_keystore: DataKeystore = None,
    keystore: Keystore = None,
    db: Db = None,
) -> None:
    """核实是否确已删除或不可恢复；须由执行人以外的人办理。未通过的退回执行。"""
    from pingyao.protect import erasing

    case, body = _destruction(id_, db)
    who = hand_of(as_, key, keystore)
    facts = _attached(statement, attachment)
    if body.thing.kind == "media":
        if not statement.strip():
            raise Invalid("erase.by_person", "介质须由人核实", "请以 --statement 写明如何核实")
        act_on(id_, who, "verify", db, checked="statement", **facts)
        return
    gone, seen = erasing.look(body, _keys(body, data_keystore))
    act_on(id_, who, "verify" if gone else "fail", db, **seen, **facts)
    if not gone:
        raise Conflict(
            "lifecycle.not_gone", f"{case.id} 未通过核实，已退回执行", "请查明原因后再次 carry-out"
        )


def _destruction(id_: str, db: str | None) -> "tuple[Case, Destruction]":
    from pingyao.protect.acting import find
    from pingyao.protect.lifecycle_model import Destruction

    case = find(open_catalogue(db), id_)
    if not isinstance(case.body, Destruction):
        raise Conflict("lifecycle.illegal", f"{case.id} 不是删除或销毁", "请核对编号")
    return case, case.body


def _keys(body: "Destruction", keystore: Path | None) -> "KeyStore | None":
    """Opens the keystore of the data, where what is destroyed are its keys."""
    sealed = body.thing.kind == "sealed"
    return open_keys(keystore, "PINGYAO_DATA_KEYSTORE") if sealed else None


def _attached(statement: str, attachments: Sequence[Path]) -> dict[str, object]:
    from pingyao.protect.erasing import file_facts

    facts: dict[str, object] = {"statement": statement.strip()[:500]} if statement.strip() else {}
    if attachments:
        facts["attachments"] = [file_facts(path) for path in attachments]
    return facts


@destroy.command
def certificate(id_: Id, folder: Path, /, *, db: Db = None) -> None:
    """出具凭证：.json 供核验，.html 供打印归档；只有核实之后才有。"""
    from pingyao.app.evidence import record_documents
    from pingyao.protect.acting import find
    from pingyao.protect.formats.certificate import write_certificate

    engine = open_catalogue(db)
    paths = write_certificate(find(engine, id_), folder)
    record_documents(engine, paths, {"case": id_})
    settle(engine)
    print(f"凭证：{paths[1]}、{paths[0]}")
