"""What every use case that lets data out has in common: approval, the proof before, and the evidence."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import msgspec

from pingyao.kernel.errors import (
    Conflict,
    Invalid,
    NotFound,
    NotPermitted,
    NotYet,
    PingyaoError,
    Unsupported,
)
from pingyao.kernel.event import EvidenceEvent
from pingyao.protect.model import (
    Content,
    Field,
    Made,
    Place,
    Purpose,
    Release,
    Residual,
    Staged,
    Use,
)
from pingyao.protect.ports import Book, Scanner, Sink, Target
from pingyao.protect.rules.policy import Policy, asking
from pingyao.protect.rules.regrade import remaining

UNGRADED = Field(Place("", "", ""), "other", 5, 0)
"""Stands for data that nobody graded: it counts as of the highest level."""
_DECLINED = (Invalid, NotFound, NotPermitted, NotYet, Unsupported)
_KINDS = {
    "seal": "protect.file.sealed",
    "mask": "protect.document.masked",
    "statistics": "protect.statistics.answered",
}


class Terms(msgspec.Struct, frozen=True):
    """Under which terms something is released.

    Attributes:
        source: its name, without credentials.
        purpose: empty where a file is encrypted to be kept: nothing comes out in the clear.
        use: the approval it is released under, where there is one.
    """

    source: str
    purpose: Purpose | Literal[""]
    policy: Policy
    book: Book
    actor: str
    use: Use | None = None


class Withheld(NotPermitted):
    """The output holds something that its purpose forbids."""

    def __init__(self, residuals: Sequence[Residual], remedy: str) -> None:
        listed = "；".join(f"{r.place.table}.{r.place.column}：{r.detail}" for r in residuals[:5])
        more = f"；另有 {len(residuals) - 5} 处" if len(residuals) > 5 else ""
        super().__init__(
            "protect.residual",
            f"结果中仍有 {len(residuals)} 处不允许的内容，未予放行。{listed}{more}",
            "目标未作任何改动；" + remedy,
        )


@contextmanager
def whole_or_nothing(target: Target, terms: Terms, act: str) -> Generator[None]:
    """Leaves a target as it was where what is done inside fails, with evidence of a fault.

    What may not be, or cannot be meant, is told to who asked for it; what a proof found has evidence
    of its own.
    """
    try:
        yield
    except BaseException as error:
        target.discard()
        if not isinstance(error, _DECLINED):
            # The fault may be of the database that would hold its evidence: it is told all the same.
            with suppress(PingyaoError):
                _failed(target, terms, act, error)
        raise


def _failed(target: Target, terms: Terms, act: str, error: BaseException) -> None:
    code = error.code if isinstance(error, PingyaoError) else type(error).__name__
    done = msgspec.structs.replace(drafted(terms, act, target.name, {}), failure=code)
    with terms.book(event_of(done), msgspec.json.encode(done)):
        pass


def asked(
    policy: Policy, purpose: Purpose | Literal[""], fields: Iterable[Field], use: Use | None
) -> tuple[str, ...]:
    """Returns the rules that ask for an approval before columns are given, as evidence names them.

    Raises:
        NotPermitted: there are such rules, and no approval is given.
    """
    if not purpose:
        return ()
    rules = asking(policy, purpose, fields)
    if rules and use is None:
        why = "；".join(f"{r.text}（{r.citation.standard or '产品默认'}）" for r in rules[:3])
        raise NotPermitted(
            "approval.missing",
            f"用于{policy.purposes[purpose].zh}须有导出审批：{why}",
            "目标未作任何改动；请以 pingyao lifecycle export request 申请，批准后以 --approval 给出编号",
        )
    return tuple(policy.demand(r).rule for r in rules)


def release(
    terms: Terms,
    scanner: Scanner,
    act: Literal["anonymise", "watermark"],
    sink: Sink,
    techniques: Mapping[Place, str],
    facts: dict[str, object],
) -> Release:
    """Scans what was written anew and releases it, with its evidence, if it is clean.

    Args:
        techniques: what was done to which columns; the others count as kept as they were.

    Raises:
        Withheld: something forbidden remains; the target is as it was before.
        NotPermitted: it takes an approval, and there is none that covers it.
        Invalid: nothing is said of what it is for.
    """
    if not terms.purpose:
        raise Invalid("protect.no_purpose", "没有说明用途，无从判断", "请以 --for 写明用途")
    staged = sink.staged()
    seen = scanner(staged)
    found = remaining(seen, techniques, terms.policy, terms.purpose)
    if found:
        done = msgspec.structs.replace(drafted(terms, act, sink.name, facts), residuals=found)
        with terms.book(event_of(done), msgspec.json.encode(done)):
            pass
        raise Withheld(found, "请先以 protect run 处理这些列，或不提供它们")
    fields = [f for a in seen.assets for f in a.fields]
    return let_out(terms, act, sink, witnessed(staged, seen.contents), fields, facts)


def witnessed(staged: Staged, contents: Mapping[tuple[str, str], Content]) -> Staged:
    """Returns what is staged with the digests of the rows that were read again, where it is no file.

    Raises:
        Conflict: there were more or fewer rows than were written.
    """
    made: list[Made] = []
    for each in staged.made:
        content = contents.get((each.schema, each.table))
        if content is None:
            made.append(each)
            continue
        if content.rows != each.rows:
            raise Conflict(
                "protect.rows_differ",
                f"{each.table[:80]} 写入 {each.rows:,} 行，复扫见到 {content.rows:,} 行",
                "目标未作任何改动；请检查目标数据库后重试",
            )
        made.append(msgspec.structs.replace(each, sha256=content.sha256, sm3=content.sm3))
    return msgspec.structs.replace(staged, made=tuple(made))


def let_out(
    terms: Terms,
    act: str,
    target: Target,
    staged: Staged,
    fields: Iterable[Field],
    facts: dict[str, object],
) -> Release:
    """Lets out what is staged: with its evidence, and using up the approval, or not at all.

    Args:
        fields: what it gives away, as far as somebody graded it.

    Raises:
        NotPermitted: it takes an approval, and there is none that covers it.
    """
    rules = asked(terms.policy, terms.purpose, fields, terms.use)
    done = msgspec.structs.replace(
        drafted(terms, act, target.name, facts), made=staged.made, asked_by=rules
    )
    use = terms.use
    if use is not None and any(m.rows for m in staged.made):
        use = msgspec.structs.replace(use, rows=sum(m.rows for m in staged.made))
    with terms.book(event_of(done), msgspec.json.encode(done), staged, use):
        target.commit()
    return done


def drafted(terms: Terms, act: str, target: str, facts: dict[str, object]) -> Release:
    """Returns the record of an act, as far as its terms say."""
    return Release(
        act=act,
        source=terms.source,
        target=target,
        purpose=terms.purpose,
        actor=terms.actor,
        at=datetime.now(UTC),
        version=version("pingyao"),
        packs=terms.policy.packs,
        made=(),
        residuals=(),
        facts=facts,
        approval=terms.use.number if terms.use else "",
    )


def event_of(done: Release) -> EvidenceEvent:
    """Returns the evidence of a release or of its refusal."""
    body: dict[str, object] = {
        "source": done.source,
        "purpose": done.purpose,
        **outcome(done.made),
        **approval(done.approval, done.asked_by),
        "residuals": len(done.residuals),
        **done.facts,
    }
    kind = _KINDS.get(done.act, f"protect.{done.act}.completed")
    if done.failure:
        kind, body["failure"] = f"protect.{done.act}.failed", done.failure
    elif done.residuals:
        kind = f"protect.{done.act}.refused"
    return EvidenceEvent(kind, done.target, done.actor, done.at, body)


def outcome(made: Sequence[Made]) -> dict[str, object]:
    """Returns what an event says of the tables made: their rows, and digests of their files."""
    return {
        "rows": sum(m.rows for m in made),
        "files": {m.file: m.sha256 for m in made if m.file},
        "tables": {m.table: m.sha256 for m in made if m.sha256 and not m.file},
    }


def approval(number: str, asked_by: Sequence[str]) -> dict[str, object]:
    """Returns what an event says of an approval; nothing where none was asked for or given."""
    return {"approval": number, "asked_by": list(asked_by)} if number or asked_by else {}
