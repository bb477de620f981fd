"""Whatever befalls a run, its target is complete or untouched: full disks, death, drift, halves."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingyao.classify.sources.open import open_source
from pingyao.kernel.errors import PingyaoError, Unavailable
from pingyao.protect.model import Asset
from pingyao.protect.sinks.open import open_sink

KILLS = int(os.environ.get("PINGYAO_KILL_TRIALS", "8"))
ONE, TWO = Asset("", "one", ()), Asset("", "two", ())
ROWS = pa.table({"n": range(20_000), "t": [f"row {n} " + "x" * (n % 90) for n in range(20_000)]})


def batches() -> Iterator[pa.RecordBatch]:
    yield from ROWS.to_batches(max_chunksize=500)


def written(spec: str) -> None:
    """Two tables, or one where the target is one file, and then the release."""
    sink = open_sink(spec, "parquet")
    try:
        for asset in (ONE,) if spec.endswith((".parquet", ".csv")) else (ONE, TWO):
            sink.write(asset, ROWS.schema, batches())
        sink.staged()
        sink.commit()
    except BaseException:
        sink.discard()
        raise


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root may mount a disk that is too small")
    try:
        yield disk
    finally:
        subprocess.run(["/bin/umount", str(disk)], check=True)


@pytest.mark.parametrize("name", ["out", "out.parquet", "out.csv", "out.db"])
@pytest.mark.parametrize("size", [16 << 10, 64 << 10])
def test_a_disk_without_room(tmp_path: Path, name: str, size: int) -> None:
    with small_disk(tmp_path, size) as disk:
        with pytest.raises(Unavailable) as failure:
            written(str(disk / name))
        assert failure.value.code == "protect.write_failed"
        assert failure.value.retriable
        assert "磁盘" in failure.value.remedy
        assert list(disk.iterdir()) == []


def tables(spec: str) -> dict[str, int]:
    """Rows by table of what can be seen of a target."""
    if "://" not in spec and not Path(spec).exists():
        return {}
    source = open_source(spec)
    try:
        found = {}
        for table in source.tables():
            found[table.name] = sum(b.num_rows for b in source.batches(table))
        return found
    finally:
        source.close()


def dies(spec: str, after: float) -> bool:
    """Writes in a process that is killed after some time; tells whether it was killed at work."""
    if not (pid := os.fork()):
        status = 1
        try:
            written(spec)
            status = 0
        finally:
            os._exit(status)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1] == signal.SIGKILL


def survives_death(spec: Callable[[int], str], whole: int, left: Callable[[], int]) -> None:
    """Kills at random moments; every time all tables are there, or none."""
    draw = random.Random(7)
    began = time.monotonic()
    written(spec(-1))
    span = time.monotonic() - began
    killed = 0
    for trial in range(KILLS):
        killed += dies(spec(trial), draw.uniform(0, 1.1 * span))
        found = tables(spec(trial))
        assert found in ({}, found)
        assert list(found.values()) in ([], [20_000] * whole), found
    assert killed
    deadline = time.monotonic() + 20
    last = KILLS
    while left() and time.monotonic() < deadline:  # a server hears of a death a little later
        written(spec(last))
        last += 1
    assert left() == 0


@pytest.mark.parametrize(("name", "whole"), [("out{}", 2), ("out{}.parquet", 1), ("out{}.db", 2)])
def test_killed_at_any_moment_a_file(tmp_path: Path, name: str, whole: int) -> None:
    survives_death(
        lambda n: str(tmp_path / name.format(n)),
        whole,
        lambda: len(list(tmp_path.glob(".pingyao-*"))),
    )


def test_killed_at_any_moment_postgresql(
    postgresql_server: object, postgresql_database: str
) -> None:
    import psycopg

    url = postgresql_server.url(postgresql_database)

    def left() -> int:
        with psycopg.connect(url) as db:
            rows = db.execute("select 1 from pg_namespace where nspname ~ '^pingyao_staging'")
            return len(rows.fetchall())

    survives_death(lambda n: f"{url}?schema=s{n + 1}", 2, left)


def test_killed_at_any_moment_mariadb(
    mariadb_server: object, mariadb_database: str, run_mariadb: Callable[..., None]
) -> None:
    url = mariadb_server.url(mariadb_database)
    made: list[str] = []

    def spec(number: int) -> str:
        name = f"{mariadb_database}_{number + 1}"
        if name not in made:
            run_mariadb("mysql", f"create database {name}")
            made.append(name)
        return url.replace(mariadb_database, name)

    def left() -> int:
        source = open_source(mariadb_server.url(""))
        try:
            return len({t.schema for t in source.tables() if t.schema.startswith("pingyao_st")})
        finally:
            source.close()

    try:
        survives_death(spec, 2, left)
    finally:
        run_mariadb("mysql", *(f"drop database {n}" for n in made))


@pytest.mark.parametrize("when", ["before", "at"])
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_connection_lost_at_the_release(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str, when: str
) -> None:
    """Who cannot know whether the tables were moved does not say that they were not."""
    database = request.getfixturevalue(f"{kind}_database")
    end: Callable[..., None] = request.getfixturevalue(f"run_{kind}")
    sink = open_sink(request.getfixturevalue(f"{kind}_server").url(database), "parquet")
    sink.write(ONE, ROWS.schema, batches())
    sink.staged()
    db = sink._db
    where = (
        ("postgres", f"select pg_terminate_backend({db.info.backend_pid}, 5000)")
        if kind == "postgresql"
        else ("mysql", f"kill {db.thread_id()}")
    )
    if when == "before":
        end(*where)
    else:
        last, ends = (db, "commit") if kind == "postgresql" else (sink, "_run")
        going = getattr(last, ends)

        def lost(*words: object) -> object:
            end(*where)
            return going(*words)

        monkeypatch.setattr(last, ends, lost)
    with pytest.raises(PingyaoError) as failure:
        sink.commit()
    sink.discard()
    assert failure.value.code == (
        "protect.write_failed" if when == "before" else "protect.unconfirmed"
    )
    assert ("目标未作任何改动" in failure.value.remedy) == (when == "before")
    assert failure.value.retriable == (when == "before")


def test_what_another_run_is_at_is_left_alone(tmp_path: Path) -> None:
    working = open_sink(str(tmp_path / "a.parquet"), "parquet")
    working.write(ONE, ROWS.schema, batches())
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from pingyao.protect.sinks.files import stage; stage(Path(sys.argv[1]))",
            str(tmp_path / "b"),
        ],
        check=True,
    )
    assert child.returncode == 0
    working.staged()
    working.commit()
    assert (tmp_path / "a.parquet").exists()


def test_half_a_file_is_not_read_as_a_whole(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    for size in (4, len(whole) // 2, len(whole) - 1):
        (tmp_path / "half.parquet").write_bytes(whole[:size])
        with pytest.raises(PingyaoError) as failure:
            tables(str(tmp_path / "half.parquet"))
        assert failure.value.remedy
