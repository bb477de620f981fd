"""What happened in any room goes to the ledger from here, and is checked against it here."""

import getpass
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import sqlalchemy as sa
from cyclopts import Parameter
from sqlalchemy.exc import DBAPIError

from pingyao.app.entitled import public_half, reader_key
from pingyao.app.opening import Db, open_catalogue
from pingyao.kernel.errors import Invalid, NotFound, PingyaoError
from pingyao.kernel.event import EvidenceEvent
from pingyao.ledger import draining, evidence, payloads
from pingyao.ledger.cosigning import open_log, publish
from pingyao.ledger.formats.documents import Document, read_document
from pingyao.ledger.formats.tlog_policy import parse_policy
from pingyao.ledger.keys import open_store, own_keys
from pingyao.ledger.store.mark import default_mark
from pingyao.ledger.store.reader import read_policy
from pingyao.ledger.store.readers import read_readers, write_readers
from pingyao.platform import outbox
from pingyao.platform.db import explain
from pingyao.platform.settings import load_settings
from pingyao.platform.term import safe

Ledger = Annotated[Path | None, Parameter(help="账本目录；默认取 PINGYAO_LEDGER")]
Keystore = Annotated[Path | None, Parameter(help="密钥库文件；默认为本人的密钥库")]
Key = Annotated[str, Parameter(help="账本密钥在密钥库中的名称")]
Reader = Annotated[
    str | None,
    Parameter(help="以 readers 文件中哪一方的名义解读；默认为账本自己，另给时以 --key 指明其密钥"),
]


def note(engine: sa.Engine, kind: str, subject: str, body: dict[str, object]) -> None:
    """Leaves an event of something that changed no table."""
    event = EvidenceEvent(kind, subject, getpass.getuser(), datetime.now(UTC), body)
    with engine.begin() as db:
        outbox.emit(db, [event])


def record_documents(engine: sa.Engine, files: Sequence[Path], about: dict[str, str]) -> None:
    """Records files that were made here, all of them or none."""
    at = datetime.now(UTC)
    with engine.begin() as db:
        for path in files:
            evidence.record(db, path, getpass.getuser(), at, about)


def settle(engine: sa.Engine) -> None:
    """Moves what waits into the configured ledger; what fails is said, and waits on.

    The command that caused the events has done its work: their proof may come later.
    """
    folder = load_settings().ledger
    if not folder:
        return
    try:
        moved = move(engine, Path(folder), None, "ledger")
    except PingyaoError as error:
        print(
            f"已记录，尚未存证：{safe(error.detail, 200)}；{safe(error.remedy, 200)}",
            file=sys.stderr,
        )
        return
    if moved:
        print(f"已存证 {moved:,} 件事项", file=sys.stderr)


def drain(
    *, ledger: Ledger = None, db: Db = None, keystore: Keystore = None, key: Key = "ledger"
) -> None:
    """把待存证的事项写入账本：每件恰好一次，中断后接着写；有见证方时，联署达到策略要求才发布。"""
    moved = move(open_catalogue(db), _folder(ledger), keystore, key)
    print(f"已存证 {moved:,} 件事项")


def move(engine: sa.Engine, folder: Path, keystore: Path | None, key: str) -> int:
    """Moves what waits into a ledger and publishes its head; returns how many events."""
    store = open_store(keystore)
    policy = read_policy(folder)
    origin = policy.logs[0].name
    readers = read_readers(folder)
    if not readers:
        readers = {origin: public_half(reader_key(store, key, make="x25519"))}
        write_readers(folder, readers)
    with open_log(folder, own_keys(store, key, policy), default_mark(origin)) as (log, cosigning):
        try:
            moved = draining.drain(engine, log.append, load_settings().member or origin, readers)
            with suppress(NotFound):  # the house need not be among the readers
                draining.describe(engine, origin, reader_key(store, key))
        except DBAPIError as error:
            raise explain(error) from None
        publish(log, cosigning)
    return moved


def _folder(given: Path | None) -> Path:
    folder = given or load_settings().ledger
    if not folder:
        raise Invalid("ledger.none", "没有指明账本", "请以 --ledger 或 PINGYAO_LEDGER 给出账本目录")
    return Path(folder)


def verify(
    file: str,
    /,
    *,
    table: Annotated[
        str,
        Parameter(help="FILE 是数据库地址或数据库文件时，其中写出的一张表；核对全部行，不论次序"),
    ] = "",
    proof: Annotated[
        Path | None, Parameter(help=".tlog-proof 证明文件；给出时只凭它离线核验")
    ] = None,
    policy: Annotated[Path | None, Parameter(help="与 --proof 同用的信任策略文件")] = None,
    ledger: Ledger = None,
    db: Db = None,
    keystore: Keystore = None,
    key: Key = "ledger",
    reader: Reader = None,
    json: Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")] = False,
) -> None:
    """核验一份报告、工作簿或数据集是否就是存证的那一份、由谁何时登记；不符即说明何处被改动，以退出码 5 结束。"""
    if proof is not None or policy is not None:
        if proof is None or policy is None:
            raise Invalid("ledger.no_trust", "--proof 与 --policy 须同时给出", "请补上另一项")
        proven = evidence.read_proof(_read(proof), parse_policy(_read(policy)))
        evidence.check_document(proven, _document(file, table))
    else:
        folder, document = _folder(ledger), _document(file, table)
        private = reader_key(open_store(keystore), key)
        with open_catalogue(db).connect() as connection:
            name = reader or read_policy(folder).logs[0].name
            proven = evidence.find_recorded(connection, folder, document, name, private)
    _show(table or Path(file).name, proven, json=json)


def _document(file: str, table: str) -> Document:
    if not table:
        return read_document(Path(file))
    from pingyao.app.keeping import table_document
    from pingyao.app.protection import content

    asset, rows = content(file, table)
    return table_document(asset.name, rows)


def _show(name: str, proven: evidence.Proven, *, json: bool) -> None:
    facts = evidence.read_facts(proven)
    if json:
        body = {
            "key": proven.key,
            "index": proven.proof.index,
            "origin": proven.head.origin,
            "member": proven.member,
            "actor": proven.event.actor,
            "occurred_at": proven.event.occurred_at,
            "facts": facts,
            "signed": [{"by": s.key.name, "at": s.at} for s in proven.signed],
        }
        sys.stdout.buffer.write(msgspec.json.encode(body) + b"\n")
        return
    print(f"{safe(name)} 就是存证的那一份，未被改动")
    print(
        f"登记：{safe(proven.event.actor)}（{safe(proven.member)}），{_local(proven.event.occurred_at)}"
    )
    if facts.about:
        print("内容：" + "，".join(safe(v) for v in facts.about.values()))
    print(f"系统：{safe(facts.system)}；时钟：{safe(evidence.say_clock(facts.time_source))}")
    print(f"存证：{safe(proven.head.origin)} 第 {proven.proof.index:,} 条，编号 {proven.key}")
    for each in proven.signed:
        when = "" if each.at is None else f"，{_local(datetime.fromtimestamp(each.at, UTC))}"
        print(f"签名：{safe(each.key.name)}（{each.key.type.algorithm}）{when}")


def _local(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S %z}"


def erase(number: str, /, *, reason: str, db: Db = None) -> None:
    """销毁一件存证内容的密钥：内容从此无人能读，账本与其证明不变；销毁本身也留下存证。"""
    if not reason.strip():
        raise Invalid("ledger.no_reason", "销毁须写明理由", "请用 --reason 说明")
    engine = open_catalogue(db)
    event = EvidenceEvent(
        "ledger.payload.erased", number, getpass.getuser(), datetime.now(UTC), {"reason": reason}
    )
    with engine.begin() as connection:
        payloads.erase(connection, number)
        outbox.emit(connection, [event])
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:  # the write-ahead log still holds the old page
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    print(f"{number} 的内容已销毁，无法恢复；请一并销毁此前的数据库备份")
    settle(engine)


def fsck(
    folder: Annotated[Path, Parameter(help="账本目录")],
    /,
    *,
    mark: Annotated[Path | None, Parameter(help="高水位目录")] = None,
    rows: Annotated[
        bool, Parameter(help="连同数据库所存的密文、密钥、文件索引与待办表一并核对", negative="")
    ] = False,
    db: Db = None,
    keystore: Keystore = None,
    key: Key = "ledger",
    json: Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")] = False,
) -> None:
    """通读账本：由条目重算每一个字节，与树、检查点、签名、策略逐一比对；只读不改，有不符即以退出码 5 结束。"""
    from pingyao.ledger.cli import fsck as check
    from pingyao.ledger.rows import check_rows
    from pingyao.ledger.store.compared import Finding

    def look() -> list[Finding]:
        private = reader_key(open_store(keystore), key)
        origin = read_policy(folder).logs[0].name
        with open_catalogue(db).connect() as connection:
            member = load_settings().member or origin
            return check_rows(connection, folder, origin, private, member)

    check(folder, mark, json=json, rows=look if rows else None)


def pack(
    number: Annotated[str, Parameter(help="存证编号，见 pingyao verify")],
    /,
    *,
    out: Annotated[Path, Parameter(help="写入哪个目录，须为空")],
    tsa_root: Annotated[Path | None, Parameter(help="时间戳机构根证书；附上检查点的时间戳")] = None,
    ledger: Ledger = None,
    db: Db = None,
    keystore: Keystore = None,
    key: Key = "ledger",
    reader: Reader = None,
) -> None:
    """出具存证证明：PDF 说明、证明文件与信任策略，可提交法庭或监管，任何人可离线核验。"""
    from pingyao.ledger import timestamps
    from pingyao.ledger.formats.note import parse_note
    from pingyao.ledger.pack import write_pack

    folder = _folder(ledger)
    private = reader_key(open_store(keystore), key)
    with open_catalogue(db).connect() as connection:
        name = reader or read_policy(folder).logs[0].name
        proven = evidence.prove(connection, folder, number, name, private)
    token = timestamps.kept(folder, proven.head.size)
    if token is not None and tsa_root is not None:
        text = parse_note(proven.proof.checkpoint).text.encode()
        timestamps.check(token, text, timestamps.read_roots(tsa_root))
    page = write_pack(proven, (folder / "policy").read_bytes(), out, token if tsa_root else None)
    print(f"存证证明：{page}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise NotFound("ledger.no_file", f"没有文件 {path.name}", "请核对路径") from None
