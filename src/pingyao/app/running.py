"""Carries out the scans that a node was asked for, in a process of its own: ``python -m`` this."""

import _thread
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from pingyao.app.opening import open_catalogue, packs
from pingyao.app.scanning import REPORTS, How, carrying, read_all, write_reports
from pingyao.classify import runs
from pingyao.classify.catalogue import record
from pingyao.classify.journal import scan_key
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.learning import remembering
from pingyao.classify.model import unforeseen
from pingyao.classify.runs import Ending, Progress, Run
from pingyao.classify.sources.credentials import PASSWORD, PASSWORD_FILE
from pingyao.classify.sources.open import open_source
from pingyao.kernel.errors import PingyaoError
from pingyao.platform import nodekey
from pingyao.platform.files import state_home
from pingyao.platform.settings import load_settings

_TELL_SECONDS = 2.0
KEY_FILE = "PINGYAO_NODE_KEY"


def launch(engine: sa.Engine, key: Path) -> subprocess.Popen[bytes]:
    """Starts the process that carries out what waits; it ends at once if another is at work."""
    given = {
        "PINGYAO_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        KEY_FILE: str(key),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pingyao.app.running"],
        env=os.environ | given,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # a scan outlives the node that started it
    )
    # Somebody must wait for it, or it stays in the table of processes when it is over.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def reports(number: int) -> Path:
    """Returns the folder of a run's reports."""
    return state_home() / "runs" / str(number)


def take_up(engine: sa.Engine, key: Path) -> str:
    """Starts what waits, where the process that should have taken it up is gone; a periodic job."""
    if not runs.waits(engine):
        return ""
    launch(engine, key)
    return "等待中的扫描"


def bound(address: str) -> bytes:
    """Returns what a password is sealed for: it opens for no other address."""
    return b"source:" + address.encode()


def main() -> None:
    """Carries out what waits, one run after another, until nothing does."""
    engine = open_catalogue(None)
    key = nodekey.read_key(Path(os.environ[KEY_FILE]))
    while (run := runs.claim(engine)) is not None:
        _carry_out(engine, key, run)


def _carry_out(engine: sa.Engine, key: bytes, run: Run) -> None:
    progress = _Counting()
    try:
        with _telling(engine, run.id, progress):
            ending = _scan(engine, key, run, progress)
    except KeyboardInterrupt:
        ending = Ending("stopped")
    except PingyaoError as error:
        ending = Ending("failed", 0, 0, error.code, error.detail, error.remedy)
    except Exception as error:  # its own text may quote data
        why = unforeseen(run.source, error)
        ending = Ending("failed", 0, 0, why.code, why.detail, why.remedy)
    runs.end(engine, run.id, progress.now, ending)
    for folder in reports(run.id).parent.glob("*"):
        # Of a run that the console lists no more, nobody can fetch the reports.
        if folder.name.isdigit() and int(folder.name) <= run.id - runs.MOST_LISTED:
            shutil.rmtree(folder, ignore_errors=True)


def _scan(engine: sa.Engine, key: bytes, run: Run, progress: "_Counting") -> Ending:
    with engine.connect() as db:
        _, address, secret = runs.address_of(db, run.id)
    os.environ.pop(PASSWORD_FILE, None)
    os.environ.pop(PASSWORD, None)
    if secret is not None:
        os.environ[PASSWORD] = nodekey.unseal(key, secret, bound(address)).decode()
    knowledge = remembering(engine, load_knowledge(packs()))
    with closing(open_source(address)) as source:
        carry = partial(carrying, engine, source, run.sample, reuse=run.incremental)
        coverage = "sample" if run.sample else "full"
        how = How(coverage, run.sample or None, None, progress, resume=True, quiet=True)
        journal = scan_key("run", source.kind, source.name, address, run.sample)
        result, readings = read_all(source, journal, knowledge, how, carry)
    progress.table("", None)
    changes = record(engine, result, run.asked_by, readings)
    folder = reports(run.id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    unwritten = write_reports(result, folder)
    if unwritten is None and load_settings().ledger:
        from pingyao.app.evidence import record_documents

        about = {"source": result.source, "finished_at": f"{result.finished_at:%F %T} UTC"}
        record_documents(engine, [folder / name for name in REPORTS], about)
    said = (unwritten.code, unwritten.detail, unwritten.remedy) if unwritten else ("", "", "")
    return Ending("done", len(result.unread), len(changes), *said)


class _Counting:
    """Counts how far a scan came; told by it, read by the one that tells the database."""

    def __init__(self) -> None:
        self.now = Progress()
        self._begun = False

    def table(self, name: str, estimated_rows: int | None) -> None:
        """A table begins; the one before it is finished."""
        now = self.now
        again = self._begun and now.now == name and not now.now_rows
        self.now = msgspec.structs.replace(
            now,
            tables=now.tables + (self._begun and not again),
            now=name[:200],
            now_rows=0,
            now_of=estimated_rows or 0,
        )
        self._begun = True

    def rows(self, count: int, size: int) -> None:
        """So many more rows, of so many bytes, were read."""
        now = self.now
        self.now = msgspec.structs.replace(
            now, now_rows=now.now_rows + count, rows=now.rows + count, bytes=now.bytes + size
        )


@contextmanager
def _telling(engine: sa.Engine, number: int, progress: _Counting) -> Generator[None]:
    """Tells every few seconds that the run lives; interrupts it when somebody asked to stop it."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(_TELL_SECONDS):
            try:
                go_on = runs.tell(engine, number, progress.now)
            except DBAPIError:  # a database that is busy now will be told the next time
                continue
            if not go_on:
                _thread.interrupt_main()
                return

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


if __name__ == "__main__":
    main()
