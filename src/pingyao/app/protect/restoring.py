"""The command that gives protected columns back."""

import getpass
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pingyao.app.opening import Approve, Db, Store
from pingyao.app.protect.options import Approval, Key, Own, Table, names, rules, use_of
from pingyao.app.protection import SourceReading, witness


def restore(
    source: str,
    target: str,
    /,
    *,
    record: Annotated[Path, Parameter(help="处理该数据的 protect run 写出的 record.json")],
    reason: Annotated[str, Parameter(help="还原的用途与依据，写入存证")],
    columns: Annotated[str, Parameter(help="要还原的列，以逗号分隔；默认为可还原的全部")] = "",
    table: Table = "",
    origin: Annotated[str, Parameter(help="该表在处理时的名称，与现名不同时写明")] = "",
    key: Key = "protect",
    approval: Approval = "",
    approve: Approve = (),
    policy: Own = (),
    store: Store = None,
    db: Db = None,
) -> None:
    """还原一张表中以保留格式加密、令牌库令牌处理的列，写成新的目标；何人因何还原，一并存证。

    须持有处理时的密钥；双人密钥须两名保管人批准。掩码、假名、仿真替换等没有还原的办法。
    """
    from pingyao.app.keeping import open_keys, open_recorder, vaults
    from pingyao.classify.sources.open import open_source
    from pingyao.platform.term import safe
    from pingyao.protect.formats.record import read_record
    from pingyao.protect.restoring import Restoring
    from pingyao.protect.restoring import restore as give_back
    from pingyao.protect.sinks.open import open_sink

    run, in_force = read_record(record), rules(policy)
    keys, recorder = open_keys(key, store, approve), open_recorder(db)
    with closing(open_source(source)) as opened:
        reading = SourceReading(opened)
        use = use_of(approval, run.purpose, source, opened=(opened.name, reading, table))
        job = Restoring(
            record=run,
            table=table,
            origin=origin,
            columns=names(columns),
            reason=reason,
            actor=getpass.getuser(),
            source=opened.name,
            policy=in_force,
            keys=keys,
            vault=vaults(recorder.engine, store, keys, "", approve, reason),
            book=recorder,
            witness=witness,
            use=recorder.require(use),
        )
        sink = open_sink(target, "parquet")
        done, lost = give_back(reading, sink, job)
    print(
        f"已写入 {target}：{sum(m.rows for m in done.made):,} 行，还原 {'、'.join(map(safe, lost))}"
    )
    for name, count in lost.items():
        if count:
            print(f"{safe(name)} 有 {count:,} 个单元格处理时不合格式、已改用假名，不能还原")
    recorder.settle()
