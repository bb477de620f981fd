"""What a witness remembers, in a SQLite file; durable before it is told."""

import sqlite3
import threading
from pathlib import Path

from pingyao.kernel.errors import Invalid, Unavailable
from pingyao.ledger.witness import Seen

_SUSPICIONS = 100  # of one log: enough to show, too few to fill a disk
_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL,
    at INTEGER NOT NULL, note TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS suspicion (
    origin TEXT NOT NULL, seen TEXT NOT NULL, offered TEXT NOT NULL,
    PRIMARY KEY (origin, seen, offered)
) STRICT;
"""


class WitnessStore:
    """The memory of a witness.

    Raises:
        Invalid: the file is damaged or no such memory.
        Unavailable: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                path, timeout=10, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.OperationalError:
            raise Unavailable(
                "ledger.witness.locked", f"{path.name} 打不开", "请检查目录权限与是否被占用"
            ) from None
        except sqlite3.DatabaseError:
            raise Invalid(
                "ledger.witness.damaged",
                f"{path.name} 已损坏或不是见证记录",
                "切勿以空文件或旧备份代替：先向日志与其他成员核对最后一次联署的大小",
            ) from None

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def origins(self) -> list[str]:
        """Returns the logs that were cosigned."""
        with self._lock:
            return [row[0] for row in self._db.execute("SELECT origin FROM seen ORDER BY origin")]

    def latest(self, origin: str) -> Seen | None:
        """Returns the latest checkpoint cosigned."""
        with self._lock:
            row = self._db.execute(
                "SELECT size, root, at, note FROM seen WHERE origin = ?", (origin,)
            ).fetchone()
        return Seen(*row) if row else None

    def replace(self, origin: str, before: Seen | None, after: Seen) -> bool:
        """Puts a checkpoint in place of the one before, in one durable statement."""
        values = (after.size, after.root, after.at, after.note)
        with self._lock:
            if before is None:
                statement = "INSERT INTO seen VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
                return self._db.execute(statement, (origin, *values)).rowcount == 1
            statement = (
                "UPDATE seen SET size = ?, root = ?, at = ?, note = ?"
                " WHERE origin = ? AND size = ? AND root = ? AND at <= ?"
            )
            given = (*values, origin, before.size, before.root, after.at)
            return self._db.execute(statement, given).rowcount == 1

    def suspect(self, origin: str, seen: str, offered: str) -> None:
        """Keeps two signed checkpoints that do not go together; the first hundred of a log."""
        with self._lock:
            self._db.execute(
                "INSERT OR IGNORE INTO suspicion SELECT ?, ?, ?"
                " WHERE (SELECT count(*) FROM suspicion WHERE origin = ?) < ?",
                (origin, seen, offered, origin, _SUSPICIONS),
            )

    def suspicions(self, origin: str) -> list[tuple[str, str]]:
        """Returns the pairs kept of a log: what was seen, what was offered."""
        with self._lock:
            return self._db.execute(
                "SELECT seen, offered FROM suspicion WHERE origin = ? ORDER BY rowid", (origin,)
            ).fetchall()
