"""A node to measure: 100,000 columns of a made-up bank, people of every role, one real server process."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import sqlalchemy as sa

from pingyao.app.migrations import migrate
from pingyao.classify import catalogue
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import Column, PackRef, ScanResult, Table
from pingyao.classify.service import Seen, judge
from pingyao.kernel.labels import Labels
from pingyao.platform import nodekey
from pingyao.platform.db import open_engine
from pingyao.platform.identity import own, people, sessions, store
from pingyao.platform.identity.model import Institution
from pingyao.platform.policy import Actor

PASSWORD = "Correct-Horse-7"
_INSTITUTION = Institution("示例银行", "91140000MA0AAAAA1K", "member", second_factor=False)
_NAMES = (
    *("cust_id", "cust_nm", "cert_no", "mobile", "addr", "acct_no", "bal", "open_dt", "rate"),
    *("branch", "teller", "memo", "email", "gender", "birth_dt", "card_no", "amt", "ccy", "st"),
    "upd_ts",
)


def make(folder: Path, columns: int, users: int) -> None:
    """Makes the database of the node, unless it is there."""
    engine = open_engine(f"sqlite:///{folder / 'node.db'}", migrate)
    with engine.connect() as db:
        done = store.read_institution(db) is not None
    if not done:
        _scan(engine, columns)
        nodekey.make_key(folder / "node.key")
        _people(engine, nodekey.read_key(folder / "node.key"), users)
    engine.dispose()


def _scan(engine: sa.Engine, columns: int) -> None:
    knowledge = load_knowledge(())
    systems, wide = 20, len(_NAMES)
    at = datetime.now(UTC)
    each = columns // systems // wide
    for system in range(systems):
        source = f"系统{system:02d}"
        tables = []
        for number in range(each):
            names = tuple(Column(f"{n}_{number % 7}", "text", "") for n in _NAMES)
            table = Table("core", f"t_{system:02d}_{number:05d}", "业务表", columns=names)
            tables.append(judge(source, table, [Seen((), (), 0, 0)] * wide, knowledge))
        packs = (PackRef("bench", "1"),)
        result = ScanResult(
            source, "sqlite", "metadata", None, at, at, "0", packs, Labels(), tuple(tables), ()
        )
        catalogue.record(engine, result, "bench")


def _people(engine: sa.Engine, key: bytes, users: int) -> None:
    first = [(f"{role}1", "某人", role) for role in ("system", "security", "audit")]
    issued = people.found(engine, _INSTITUTION, first, "bench")
    actors = {i.account.role: Actor(i.account.id, i.account.name, i.account.role) for i in issued}
    for number in range(users):
        made = people.create(engine, actors["system"], f"user{number}", "某人")
        issued.append(people.grant(engine, actors["security"], made.id, "officer"))
    for each in issued:
        session = sessions.sign_in(engine, key, each.account.name, each.password, "", "")
        own.change_password(engine, session, each.password, PASSWORD)
        sessions.sign_out(engine, session)


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple[str, int]]:
    """Runs ``pingyao node serve`` and gives its address and the number of its process."""
    script = "from pingyao.app.cli import main; main()"
    command = [sys.executable, "-c", script, "node", "serve", "--port", "0"]
    command += ["--db", f"sqlite:///{folder / 'node.db'}", "--key", str(folder / "node.key")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, *words], stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://[^/]+/", line)
            if found is None:
                raise RuntimeError((folder / "log").read_text())
            yield found[0].rstrip("/"), process.pid
        finally:
            process.terminate()
            process.wait(timeout=20)


def sign_in(client: httpx.Client, name: str) -> None:
    """Signs somebody in, who then may change things."""
    answer = client.post("/api/v1/session", json={"name": name, "password": PASSWORD})
    answer.raise_for_status()
    # The cookie is for HTTPS and loopback; the client takes loopback for neither.
    client.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
    client.headers["x-csrf-token"] = msgspec.json.decode(answer.content)["csrf"]


def cpu_of(process: int) -> float:
    """Returns the CPU seconds a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
