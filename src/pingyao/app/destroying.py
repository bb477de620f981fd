"""``pingyao lifecycle destroy``: asked for, approved by two, carried out, looked for, certified."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from pingyao.app.evidence import settle
from pingyao.app.opening import Db, open_catalogue
from pingyao.app.retaining import dues, find_table
from pingyao.app.signing import (
    DataKeystore,
    Id,
    Own,
    Reason,
    Signer,
    act_on,
    day,
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
    by: Signer,
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
    policy: Own = (),
) -> None:
    """申请删除或销毁。SOURCE 是目录中的数据源；WHERE 是文件、数据库地址或介质编号。

    留存期未满、暂缓删除的，不予受理；级别与类别取自目录。
    """
    from pingyao.protect.acting import request_destruction
    from pingyao.protect.erasing import FIT
    from pingyao.protect.lifecycle_model import Destruction, Thing

    rules, engine = rules_in_force(policy), open_catalogue(by.db)
    if method not in FIT[kind]:
        raise Invalid(
            "erase.bad_method",
            "这种对象不能用这种方法销毁",
            f"可用：{'、'.join(sorted(FIT[kind]))}",
        )
    if (kind in ("table", "rows")) != bool(table) or (kind == "rows") != bool(column and before):
        raise Invalid(
            "lifecycle.bad_option",
            "table 须给出 --table，rows 另须 --column 与 --before",
            "请改正后再试",
        )
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
    case = request_destruction(engine, by.hand(), body, rules)
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
def approve(id_: Id, /, *, by: Signer) -> None:
    """批准。须两名不同的人，均不是申请人。"""
    act_on(id_, by.hand(), "approve", by.db)


@destroy.command
def refuse(id_: Id, /, *, reason: Reason, by: Signer) -> None:
    """不批准。"""
    act_on(id_, by.hand(), "refuse", by.db, reason=reason)


@destroy.command
def withdraw(id_: Id, /, *, reason: Reason, by: Signer) -> None:
    """由申请人撤回。"""
    act_on(id_, by.hand(), "withdraw", by.db, reason=reason)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Proof:
    """Options of the two commands that say how a thing came to its end."""

    statement: Annotated[str, Parameter(help="存储介质：由何机构、以何方法、在何处")] = ""
    attachment: Annotated[
        tuple[Path, ...], Parameter(help="佐证文件，记其 SHA-256；可重复给出")
    ] = ()
    data_keystore: DataKeystore = None

    @property
    def said(self) -> str:
        """The statement, where it says anything."""
        return self.statement.strip()[:500]

    def facts(self) -> dict[str, object]:
        """Returns what goes into the case."""
        from pingyao.protect.erasing import file_facts

        facts: dict[str, object] = {"statement": self.said} if self.said else {}
        if self.attachment:
            facts["attachments"] = [file_facts(path) for path in self.attachment]
        return facts


_NONE = Proof()


@destroy.command
def carry_out(
    id_: Id,
    /,
    *,
    by: Signer,
    proof: Proof = _NONE,
) -> None:
    """执行已批准的删除或销毁；不可撤销。中断后可再次执行。"""
    from pingyao.protect import erasing
    from pingyao.protect.rules.cases import state

    case, body = _destruction(id_, by.db)
    who, keys = by.hand(), _keys(body, proof.data_keystore)
    if body.thing.kind == "media" and not (proof.said and proof.attachment):
        raise Invalid(
            "lifecycle.no_statement",
            "介质的销毁须有说明与佐证",
            "请给出 --statement 与 --attachment",
        )
    facts = proof.facts()
    seen: erasing.Facts = {} if state(case) == "started" else erasing.inspect(body, keys)
    act_on(id_, who, "start", by.db, **seen)
    act_on(id_, who, "carry_out", by.db, **erasing.carry_out(body, keys, case.id), **facts)


@destroy.command
def verify(
    id_: Id,
    /,
    *,
    by: Signer,
    proof: Proof = _NONE,
) -> None:
    """核实是否确已删除或不可恢复；须由执行人以外的人办理。未通过的退回执行。"""
    from pingyao.protect import erasing

    case, body = _destruction(id_, by.db)
    who = by.hand()
    facts = proof.facts()
    if body.thing.kind == "media":
        if not proof.said:
            raise Invalid("erase.by_person", "介质须由人核实", "请以 --statement 写明如何核实")
        act_on(id_, who, "verify", by.db, checked="statement", **facts)
        return
    gone, seen = erasing.look(body, _keys(body, proof.data_keystore))
    act_on(id_, who, "verify" if gone else "fail", by.db, **seen, **facts)
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
