"""The use cases around anonymity: the risk of a table, and a table made k-anonymous."""

from collections.abc import Callable, Iterator, Sequence

import msgspec
import pyarrow as pa

from pingyao.kernel.errors import Invalid
from pingyao.protect.model import Asset, Place, Release
from pingyao.protect.picking import pick
from pingyao.protect.ports import Reading, Scanner, Sink
from pingyao.protect.releasing import (
    UNGRADED,
    Terms,
    asked,
    drafted,
    event_of,
    release,
    whole_or_nothing,
)
from pingyao.protect.rules.anonymity import Anonymity, Coded, Risk, coded, measure, risk
from pingyao.protect.rules.mondrian import generalised, loss, partition
from pingyao.protect.rules.private import Answer, Question, answer

_MOST_ROWS = 100_000_000
_BATCH = 65_536


class Wanted(msgspec.Struct, frozen=True):
    """What anonymity is asked for.

    Attributes:
        quasi: names of the quasi-identifiers.
        sensitive: name of the sensitive column; empty for none.
        keep: other columns to keep as they are.
        k, l, t: least class size, least sensitive values in a class, farthest a class may be from
            the whole.
    """

    quasi: tuple[str, ...]
    sensitive: str = ""
    keep: tuple[str, ...] = ()
    k: int = 5
    l: int = 1  # noqa: E741 - its name in the literature
    t: float = 1.0


class Outcome(msgspec.Struct, frozen=True):
    """A table before and after, and what it cost.

    Attributes:
        loss: normalised certainty penalty, 0 to 1.
    """

    before: Anonymity
    after: Anonymity
    loss: float
    release: Release


def assess(
    reading: Reading, table: str, wanted: Wanted, threshold: float, population: int | None
) -> tuple[Anonymity, Risk]:
    """Measures how well a table hides its people.

    Raises:
        NotFound: there is no such table or column.
    """
    _, columns = _read(reading, table, wanted)
    quasi, sensitive = _coded(columns, wanted)
    return measure(quasi, sensitive), risk(quasi, threshold, population)


def anonymise(
    reading: Reading, table: str, wanted: Wanted, sink: Sink, terms: Terms, scanner: Scanner
) -> Outcome:
    """Generalises the quasi-identifiers of a table until it is anonymous; other columns stay behind.

    Raises:
        Invalid: the table as a whole does not have what is asked of each class.
        Withheld: the purpose forbids a column that was to be kept.
    """
    with whole_or_nothing(sink, terms, "anonymise"):
        asset, columns = _read(reading, table, wanted)
        quasi, sensitive = _coded(columns, wanted)
        order, ends = partition(quasi, wanted.k, sensitive, wanted.l, wanted.t)
        arrays: dict[str, pa.Array | pa.ChunkedArray] = {
            name: generalised(column, order, ends)
            for name, column in zip(wanted.quasi, quasi, strict=True)
        }
        before = measure(quasi, sensitive)
        after = measure([coded(arrays[name]) for name in wanted.quasi], sensitive)
        lost = round(loss(quasi, order, ends), 6)
        arrays |= {n: columns[n] for n in (wanted.sensitive, *wanted.keep) if n}
        made = pa.table({n: arrays[n] for n in columns})
        sink.write(asset, made.schema, _batches(made))
        facts: dict[str, object] = {
            "quasi_identifiers": list(wanted.quasi),
            "k": after.k,
            "l": after.l,
            "t": after.t,
            "loss": lost,
        }
        done = {Place(asset.schema, asset.name, n): "bin" for n in wanted.quasi}
        return Outcome(before, after, lost, release(terms, scanner, "anonymise", sink, done, facts))


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from table.to_batches(max_chunksize=_BATCH)


def ask(
    reading: Reading,
    table: str,
    question: Question,
    terms: Terms,
    charge: Callable[[str], tuple[float, float]],
) -> list[Answer]:
    """Answers a question with differential privacy; what it cost becomes evidence before it is told.

    Args:
        charge: books the cost to a data set, or refuses; returns its budget and what is spent of it.

    Raises:
        NotPermitted: it takes an approval, and there is none that covers it; or the budget is spent.
    """
    names = [n for n in (question.total, question.by, question.person) if n]
    asset = pick(reading, table, names)
    rules = asked(terms.policy, terms.purpose, [UNGRADED], terms.use)
    columns = _columns(reading, asset, names or [asset.fields[0].place.column])
    dataset = f"{terms.source}/{asset.schema}/{asset.name}"
    budget, spent = charge(dataset)
    answers = answer(question, columns)
    facts: dict[str, object] = {
        "question": question.said,
        "answers": len(answers),
        "epsilon": question.epsilon,
        "budget": budget,
        "spent": spent,
    }
    done = msgspec.structs.replace(drafted(terms, "statistics", dataset, facts), asked_by=rules)
    use = terms.use and msgspec.structs.replace(terms.use, rows=len(answers))
    with terms.book(event_of(done), msgspec.json.encode(done), None, use):
        pass
    return answers


def _read(reading: Reading, table: str, wanted: Wanted) -> tuple[Asset, dict[str, pa.ChunkedArray]]:
    names = [n for n in (*wanted.quasi, wanted.sensitive, *wanted.keep) if n]
    asset = pick(reading, table, names)
    return asset, _columns(reading, asset, names)


def _columns(reading: Reading, asset: Asset, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    parts: dict[str, list[pa.Array]] = {n: [] for n in names}
    rows = 0
    for batch in reading.batches(asset):
        rows += batch.num_rows
        if rows > _MOST_ROWS:
            raise Invalid("protect.too_many_rows", f"超过 {_MOST_ROWS:,} 行", "请分批处理")
        for n in names:
            parts[n].append(batch.column(n))
    if not rows:
        raise Invalid("protect.nothing", f"表 {asset.name[:80]} 没有数据", "请核对数据源")
    return {n: pa.chunked_array(p) for n, p in parts.items()}


def _coded(
    columns: dict[str, pa.ChunkedArray], wanted: Wanted
) -> tuple[Sequence[Coded], Coded | None]:
    quasi = [coded(columns[n]) for n in wanted.quasi]
    return quasi, coded(columns[wanted.sensitive]) if wanted.sensitive else None
