"""Whether a node is in good health: one finding for each thing looked at, nothing changed."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import sqlalchemy as sa
from cryptography import x509
from sqlalchemy.exc import SQLAlchemyError

from pingyao.app.migrations import NEWEST, version_of
from pingyao.kernel.errors import PingyaoError
from pingyao.ledger.store.fsck import fsck
from pingyao.ledger.store.mark import default_mark
from pingyao.ledger.store.provenance import clock_kept
from pingyao.ledger.store.reader import read_policy
from pingyao.platform import audit, dump, nodekey, outbox
from pingyao.platform.crypto import keyfile
from pingyao.platform.db import open_engine
from pingyao.platform.identity import store, totp

State = Literal["ok", "warning", "failed"]
KEPT_DAYS = 183
"""Six months. Cites: 网络安全法（2016）第二十一条（三）（待核对：2025 年修正后的条号）."""
_LAG = timedelta(hours=24)
_CERTIFICATE_DAYS = 30
_FREE_BYTES, _FREE_SHARE = 1 << 30, 0.1


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at.

    Attributes:
        what: stable name.
        detail: what was found, for people.
    """

    what: str
    state: State
    detail: str


def check(
    url: str, *, ledger: Path | None, key: Path, keystore: Path, certificate: Path | None
) -> Iterator[Finding]:
    """Yields findings; whatever prevents one is itself the finding."""
    opened = _guarded("database", lambda: _opened(url))
    yield opened[0]
    if opened[1] is not None:
        engine = opened[1]
        with engine.connect() as db:
            for what, look in (
                ("schema", _schema),
                ("integrity", _integrity),
                ("outbox", _outbox),
                ("audit", _audit),
                ("second_factors", lambda c: _second_factors(c, key)),
            ):
                yield _one(what, lambda look=look: look(db))
        engine.dispose()
    yield _one("node_key", lambda: _private(key, nodekey.read_key))
    if keystore.exists():
        yield _one("keystore", lambda: _private(keystore, keyfile.read))
    if ledger is not None:
        yield _one("ledger", lambda: _ledger(ledger))
    database = sa.make_url(url).database if url.startswith("sqlite") else None
    for place in {p for p in (database and Path(database).parent, ledger) if p and p.exists()}:
        yield _one("disk", lambda place=place: _disk(place))
    yield _one("clock", _clock)
    if certificate is not None:
        yield _one("certificate", lambda: _certificate(certificate))


def _one(what: str, look: Callable[[], tuple[State, str]]) -> Finding:
    try:
        return Finding(what, *look())
    except PingyaoError as error:
        return Finding(what, "failed", f"{error.detail}；{error.remedy}")
    except (OSError, SQLAlchemyError) as error:
        return Finding(what, "failed", f"无法检查（{type(error).__name__}）")


def _guarded(what: str, open_: Callable[[], sa.Engine]) -> tuple[Finding, sa.Engine | None]:
    found: list[sa.Engine] = []

    def look() -> tuple[State, str]:
        found.append(open_())
        return "ok", found[0].dialect.name

    return _one(what, look), found[0] if found else None


def _opened(url: str) -> sa.Engine:
    database = sa.make_url(url).database if url.startswith("sqlite") else None
    if database and not Path(database).exists():  # opening would make it
        raise FileNotFoundError
    return open_engine(url, lambda _: None)


def _schema(db: sa.Connection) -> tuple[State, str]:
    version = version_of(db)
    if version == NEWEST:
        return "ok", f"版本 {version}"
    older = version < NEWEST
    way = "下次启动时升级，请先备份" if older else "请升级 pingyao"
    return ("warning" if older else "failed"), f"版本 {version}，本程序为 {NEWEST}；{way}"


def _integrity(db: sa.Connection) -> tuple[State, str]:
    wrong = dump.check(db)
    return ("failed", f"{wrong[0][:200]}；请从备份恢复") if wrong else ("ok", "完整")


def _outbox(db: sa.Connection) -> tuple[State, str]:
    count, oldest = outbox.count_waiting(db), outbox.oldest(db)
    if oldest is None:
        return "ok", "无待存证事项"
    age = datetime.now(UTC) - oldest
    said = f"{count:,} 件待存证，最早的等了 {age.total_seconds() / 3600:.1f} 小时"
    return ("warning", f"{said}；请运行 pingyao ledger drain") if age > _LAG else ("ok", said)


def _audit(db: sa.Connection) -> tuple[State, str]:
    first, founded = audit.first(db), audit.first(db, "node.founded")
    if first is None:
        return "warning", "没有任何审计事项"
    reaches = (datetime.now(UTC) - first).days
    # A node keeps its founding for as long as it keeps everything.
    whole = founded is not None and founded <= first
    enough = whole or reaches >= KEPT_DAYS
    said = f"最早的审计事项距今 {reaches:,} 天"
    return ("ok", said) if enough else ("failed", f"{said}，不足六个月：有审计被过早清除")


def _second_factors(db: sa.Connection, key: Path) -> tuple[State, str]:
    t = store.accounts.c
    rows = db.execute(sa.select(t.id, t.totp).where(t.totp.is_not(None))).all()
    held = nodekey.read_key(key) if rows else b""
    for row in rows:
        totp.unseal(held, row.totp, row.id)
    return "ok", f"{len(rows):,} 个动态口令可用"


def _private(path: Path, read: Callable[[Path], object]) -> tuple[State, str]:
    read(path)
    if path.stat().st_mode & 0o077:
        return "failed", f"{path.name} 可被他人读写；请执行 chmod 600，并查明是否已被复制"
    return "ok", "可读，仅本人可读写"


def _ledger(folder: Path) -> tuple[State, str]:
    report = fsck(folder, default_mark(read_policy(folder).logs[0].name))
    if report.findings:
        found = report.findings[0]
        return "failed", f"{len(report.findings)} 处不符，如 {found.where}：{found.detail}"
    return "ok", f"{report.entries:,} 条全部相符"


def _disk(place: Path) -> tuple[State, str]:
    usage = shutil.disk_usage(place)
    writable = os.access(place, os.W_OK)
    said = f"{place.name}：余 {usage.free / (1 << 30):,.1f} GiB，{usage.free / usage.total:.0%}"
    if not writable:
        return "failed", f"{said}；不可写"
    short = usage.free < _FREE_BYTES or usage.free < usage.total * _FREE_SHARE
    return ("warning", f"{said}；请清理或扩容") if short else ("ok", said)


def _clock() -> tuple[State, str]:
    kept = clock_kept()
    if kept is None:
        return "warning", "无从得知时钟是否已同步"
    return ("ok", "时钟已同步") if kept else ("warning", "时钟未同步；请启用 NTP（如 chrony）")


def _certificate(path: Path) -> tuple[State, str]:
    try:
        ends = x509.load_pem_x509_certificates(path.read_bytes())[0].not_valid_after_utc
    except (ValueError, IndexError):
        return "failed", f"{path.name} 不是 PEM 证书"
    days = (ends.timestamp() - time.time()) / 86_400
    said = f"TLS 证书 {ends:%Y-%m-%d} 到期"
    if days <= 0:
        return "failed", f"{said}，已过期；请更换"
    return ("warning", f"{said}，请尽快更换") if days < _CERTIFICATE_DAYS else ("ok", said)
