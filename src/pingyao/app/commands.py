"""Wires the rooms into the commands of the command line."""

import getpass
import sys
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Literal

import sqlalchemy as sa
from cyclopts import Parameter

from pingyao.app.opening import Db, Pack, open_catalogue, packs
from pingyao.app.scanning import REPORTS, How, carrying, not_written, read_all, write_reports
from pingyao.classify.catalogue import record as record_scan
from pingyao.classify.cli import show_changes
from pingyao.classify.journal import scan_key
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.learning import remembering
from pingyao.classify.model import Coverage, ScanResult
from pingyao.classify.ports import Source
from pingyao.classify.sources.choosing import Choice, choose
from pingyao.classify.sources.open import open_source
from pingyao.kernel.errors import Conflict, Invalid
from pingyao.kernel.labels import PersonalClass
from pingyao.platform.pace import Pace, quiet_span
from pingyao.platform.settings import load_settings

_FAILED_GATE = 1


def scan(
    source: str,
    /,
    *,
    report: Annotated[
        Path | None, Parameter(help="报告目录：写入工作簿、网页报告与 result.json")
    ] = None,
    sample: Annotated[int | None, Parameter(help="每张表至多读取的行数；默认全量读取")] = None,
    metadata_only: Annotated[
        bool, Parameter(help="只看元数据，不读取任何取值", negative="")
    ] = False,
    table: Annotated[
        tuple[str, ...], Parameter(help="只扫描这些表，如 core.t_cust*；可重复给出")
    ] = (),
    column: Annotated[tuple[str, ...], Parameter(help="只读取这些列，如 *cert*；可重复给出")] = (),
    skip_column: Annotated[tuple[str, ...], Parameter(help="不读取这些列，如 photo")] = (),
    pack: Pack = (),
    resume: Annotated[
        bool, Parameter(help="从上次中断处接着扫；未读到的表再试一次", negative="")
    ] = False,
    max_rows_per_second: Annotated[
        int | None, Parameter(help="每秒至多读取的行数，以免影响生产库")
    ] = None,
    quiet_hours: Annotated[
        str | None, Parameter(help="不读取数据的时段，如 08:30-20:00；到时放开数据源，过后接着扫")
    ] = None,
    record: Annotated[
        bool, Parameter(help="把结果记入数据资产目录，并显示差异", negative="")
    ] = False,
    incremental: Annotated[
        bool,
        Parameter(help="自上次 --record 以来确知没有变化的表不再读取，沿用当时所见", negative=""),
    ] = False,
    engine: Annotated[
        Literal["local", "spark"],
        Parameter(help="local 在本机读取；spark 由 Spark 在数据所在处汇总，只取回统计"),
    ] = "local",
    spark: Annotated[
        tuple[str, ...],
        Parameter(help="Spark 设置（spark.master=yarn）或读取选项（format=csv），可重复给出"),
    ] = (),
    db: Db = None,
    json: Annotated[bool, Parameter(help="把结果以 JSON 写到标准输出", negative="")] = False,
    fail_on: Annotated[
        str | None, Parameter(help="发现该类别及以上即以退出码 1 结束：C1–C3 或 L2–L5")
    ] = None,
) -> None:
    """扫描数据源，逐列分类分级，并给出依据。

    SOURCE：数据库地址（postgresql://、mysql://）、SQLite、DuckDB、CSV、Excel、Parquet、
    JSONL、文本、docx 文件或放有它们的目录、SQL 建表语句。只读打开；口令取自环境变量 PINGYAO_SOURCE_PASSWORD 或
    PINGYAO_SOURCE_PASSWORD_FILE 指向的文件。用 --engine spark 时，是 Spark 能读的路径、catalog:库 或 catalog:库.表、
    jdbc:…#模式.表。
    """
    from pingyao.classify.cli import print_summary
    from pingyao.platform.term import scan_progress

    if sample is not None and (sample < 1 or metadata_only):
        raise Invalid(
            "scan.bad_option", "--sample 应为正整数，且不能与 --metadata-only 同用", "请只保留其一"
        )
    if max_rows_per_second is not None and max_rows_per_second < 1:
        raise Invalid("scan.bad_option", "--max-rows-per-second 应为正整数", "请改正后再试")
    if incremental and (not record or metadata_only):
        raise Invalid(
            "scan.bad_option",
            "--incremental 须与 --record 同用，且不能与 --metadata-only 同用",
            "请改正后再试",
        )
    if engine == "spark" and max_rows_per_second is not None:
        raise Invalid(
            "scan.bad_option",
            "--max-rows-per-second 管不到集群上的读取",
            "请用 Spark 的资源设置限制，如 --spark spark.cores.max=4",
        )
    choice = Choice(table, column, skip_column)
    if choice and record:
        raise Invalid(
            "scan.bad_option",
            "只扫描部分表或列的结果不能记入目录：其余的会显得已被删除",
            "请去掉 --record，或扫描整个数据源",
        )
    gate = _gate(fail_on)
    pace = Pace(max_rows_per_second, quiet_span(quiet_hours) if quiet_hours else None, _waiting)
    if report is not None:
        _prepare(report)
    coverage: Coverage = "metadata" if metadata_only else "sample" if sample else "full"
    knowledge = load_knowledge(packs(pack))
    # The catalogue is opened first: a scan of hours must not end at a door that is shut.
    catalogue = open_catalogue(db) if record else None
    if catalogue is not None:
        knowledge = remembering(catalogue, knowledge)
    opened = choose(_open(source, engine, spark), choice)
    carry = None
    if catalogue is not None and not metadata_only:
        carry = partial(carrying, catalogue, opened, sample or 0, reuse=incremental)
    path = Path(source)
    where = path.resolve() if path.exists() else ""
    key = scan_key(opened.kind, opened.name, where, sample or 0, choice)
    with closing(opened), scan_progress(enabled=not json) as progress:
        how = How(coverage, sample, pace, progress, resume=resume)
        result, readings = read_all(opened, key, knowledge, how, carry)
    unwritten = write_reports(result, report) if report is not None else None
    if json:
        from pingyao.classify.formats.report_json import encode_json

        sys.stdout.buffer.writelines(encode_json(result))
        sys.stdout.buffer.write(b"\n")
    else:
        print_summary(result)
        if report is not None and unwritten is None:
            print(f"工作簿：{report / 'report.xlsx'}")
            print(f"网页报告：{report / 'report.html'}")
    if catalogue is not None:
        changes = record_scan(catalogue, result, getpass.getuser(), readings)
        if not json:
            show_changes(changes)
    if load_settings().ledger:
        written = report if unwritten is None else None
        _leave_evidence(catalogue or open_catalogue(db), result, written, recorded=record)
    if unwritten is not None:
        raise unwritten
    if gate is not None and gate(result):
        sys.exit(_FAILED_GATE)


def _open(source: str, engine: str, spark: tuple[str, ...]) -> Source:
    if engine == "local":
        return open_source(source)
    from pingyao.classify.sources.spark import open_spark

    if not all("=" in each for each in spark):
        raise Invalid("scan.bad_option", "--spark 应写成 键=值", "如 --spark spark.master=yarn")
    return open_spark(source, {k: v for k, _, v in (each.partition("=") for each in spark)})


def _waiting(until: datetime) -> None:
    print(f"限制时段内暂停读取，{until:%H:%M} 后继续", file=sys.stderr)


def example_bank(
    folder: Path,
    /,
    *,
    customers: Annotated[int, Parameter(help="个人客户数，其余表按比例生成")] = 200_000,
    seed: Annotated[int, Parameter(help="随机种子；同一种子生成同一家银行")] = 7,
) -> None:
    """生成一家示例银行：八个系统，SQLite、CSV、Parquet、JSONL 与 Excel；其中没有任何真实的人或单位。

    各列的真实类型写在目录旁的“目录名-truth.jsonl”，不放进目录里。
    """
    import msgspec

    from pingyao.app.example.generate import generate
    from pingyao.platform.files import write_atomically

    if not 1 <= customers <= 20_000_000:
        raise Invalid("example.bad_size", "客户数应在 1 至 2000 万之间", "请调整 --customers")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("example.not_empty", f"目录 {folder.name} 不是空的", "请换一个目录或先清空")
    truths = generate(folder, customers, seed)
    lines = b"".join(msgspec.json.encode(t) + b"\n" for t in truths)
    write_atomically(folder.parent / f"{folder.name}-truth.jsonl", lines)
    print(f"已生成示例银行：{folder}（{customers:,} 名客户，{len(truths):,} 列）")


def _prepare(folder: Path) -> None:
    """Makes the folder of the reports before the scan: hours must not end at a door that is shut."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise not_written(folder, error) from None


def _leave_evidence(
    engine: sa.Engine, result: ScanResult, report: Path | None, *, recorded: bool
) -> None:
    from pingyao.app.evidence import note, record_documents, settle

    if not recorded:
        note(
            engine,
            "classify.scan.finished",
            result.source,
            {"coverage": result.coverage, "tables": len(result.tables), "version": result.version},
        )
    if report is not None:
        about = {"source": result.source, "finished_at": f"{result.finished_at:%F %T} UTC"}
        record_documents(engine, [report / name for name in REPORTS], about)
    settle(engine)


def _gate(limit: str | None):
    """Returns what decides whether a result passes ``--fail-on``."""
    if limit is None:
        return None
    name = limit.upper()
    if name in ("C1", "C2", "C3"):
        bound = PersonalClass[name]
        return lambda result: any(
            v.labels.personal >= bound for t in result.tables for v in t.columns
        )
    if name in ("L2", "L3", "L4", "L5"):
        level = int(name[1])
        return lambda result: any(
            v.labels.level >= level or (level == 5 and v.labels.proposed_important)
            for t in result.tables
            for v in t.columns
        )
    raise Invalid(
        "scan.bad_option", f"--fail-on 不认识“{limit[:20]}”", "可用 C1、C2、C3 或 L2、L3、L4、L5"
    )
