"""The use case of restoring: columns that a run encrypted or tokenised, given back for a stated reason."""

from collections.abc import Callable, Iterator, Sequence

import msgspec
import pyarrow as pa

from pingyao.kernel.errors import Conflict, Invalid, NotFound
from pingyao.protect.model import Done, Field, Record, Release, Use
from pingyao.protect.picking import pick
from pingyao.protect.ports import Book, Keys, Reading, Sink, Vault, Witness
from pingyao.protect.releasing import Terms, asked, let_out, whole_or_nothing, witnessed
from pingyao.protect.rules.keyed import Keyed
from pingyao.protect.rules.policy import Policy
from pingyao.protect.rules.techniques import REVERSIBLE, Cell


class Restoring(msgspec.Struct, frozen=True):
    """What is to be restored, and why.

    Attributes:
        record: of the run that protected the data.
        table: of the data at hand; empty when there is only one.
        origin: its name when it was protected; empty when it still has it.
        columns: to be restored; empty for all that can be.
        vault: opens a token vault by name.
        witness: reads tables of a database that were written once more.
        use: the approval to restore under, where there is one.
    """

    record: Record
    table: str
    origin: str
    columns: tuple[str, ...]
    reason: str
    actor: str
    source: str
    policy: Policy
    keys: Keys
    vault: Callable[[str], Vault]
    book: Book
    witness: Witness
    use: Use | None = None


def restore(reading: Reading, sink: Sink, job: Restoring) -> tuple[Release, dict[str, int]]:
    """Gives columns of a table back as they were; the others are copied.

    Returns:
        The record of it, and by column how many cells had no way back and stayed as they are.

    Raises:
        Invalid: no reason, or nothing that can be restored.
        Conflict: the key is not the one that protected the data.
        NotFound: there is no such table or column, or tokens are of another vault.
        NotPermitted: what it was protected for takes an approval, and there is none that covers it.
    """
    terms = Terms(job.source, job.record.purpose, job.policy, job.book, job.actor, job.use)
    with whole_or_nothing(sink, terms, "restore"):
        if not job.reason.strip():
            raise Invalid("protect.no_reason", "还原须写明理由", "请以 --reason 写明用途与依据")
        keyed = _confirmed(job.keys, job.record)
        asset = pick(reading, job.table, job.columns)
        names = [f.place.column for f in asset.fields]
        wanted = _wanted(job, job.origin or asset.name, names)
        fields = {
            name: Field(d.place, "other", d.level_before, d.personal_before)
            for name, d in wanted.items()
        }
        asked(terms.policy, terms.purpose, fields.values(), terms.use)
        batches = reading.batches(asset)
        first = next(batches, None)
        if first is None:
            raise Invalid("protect.nothing", f"表 {asset.name[:80]} 没有数据", "请核对数据源")
        lost = dict.fromkeys(wanted, 0)

        def restored(batch: pa.RecordBatch) -> pa.RecordBatch:
            arrays = {n: batch.column(n) for n in batch.schema.names}
            for name, done in wanted.items():
                cell = Cell(
                    array=arrays[name],
                    field=fields[name],
                    params=done.params,
                    policy=job.policy,
                    other=batch.column,
                    keyed=keyed,
                    vault=job.vault,
                )
                arrays[name], stayed = REVERSIBLE[done.technique](cell)
                lost[name] += stayed
            return pa.RecordBatch.from_arrays([*arrays.values()], names=[*arrays])

        began = restored(first)

        def rows() -> Iterator[pa.RecordBatch]:
            yield began
            yield from map(restored, batches)

        sink.write(asset, began.schema, rows())
        facts: dict[str, object] = {
            "reason": job.reason.strip(),
            "columns": sorted(wanted),
            "plan_sha256": job.record.plan_sha256,
            "key": f"{job.keys.name}@{job.keys.version}",
            "not_restored": sum(lost.values()),
        }
        staged = sink.staged()
        staged = witnessed(staged, job.witness(staged))
        release = let_out(terms, "restore", sink, staged, fields.values(), facts)
    return release, lost


def _confirmed(keys: Keys, record: Record) -> Keyed:
    keyed = Keyed(keys, record.scope)
    used = record.key
    if used is None or keyed.check != used.check:
        asked = f"{used.name}@{used.version}" if used else "另一把"
        raise Conflict(
            "protect.wrong_key",
            f"密钥 {keys.name}@{keys.version} 不是处理这份数据的那一把",
            f"记录写明的是 {asked}：请以 --key 指明，并核对密钥库",
        )
    return keyed


def _wanted(job: Restoring, origin: str, names: Sequence[str]) -> dict[str, Done]:
    there = {
        d.place.column: d
        for d in job.record.done
        if origin in (d.place.table, f"{d.place.schema}/{d.place.table}")
    }
    if not there:
        raise NotFound(
            "protect.not_in_record",
            f"记录中没有表 {origin[:80]}",
            "请以 --origin 写明它在处理时的表名",
        )
    fit = {n: d for n, d in there.items() if d.technique in REVERSIBLE and n in names}
    missing = [n for n in job.columns if n not in fit]
    if missing or not fit:
        raise Invalid(
            "protect.irreversible",
            f"列 {'、'.join(m[:40] for m in missing) or '均'}不能还原",
            "只有保留格式加密与令牌库令牌可以还原；本表可还原的："
            + ("、".join(n[:40] for n in fit) or "无"),
        )
    return {n: fit[n] for n in job.columns or fit}
