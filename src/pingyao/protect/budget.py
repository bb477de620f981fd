"""The ledger of a privacy budget: what was asked of a data set, what it cost, and what is left."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pingyao.kernel.errors import Conflict, IntegrityBroken, Invalid, NotPermitted
from pingyao.platform.files import write_atomically

_FORMAT = "pingyao.protect.budget/1"
# Tenths add up to one: the last answer is not refused for a rounding of floating point.
_SLACK = 1e-9


class Entry(msgspec.Struct, frozen=True):
    """One answer that was given, or may have been."""

    at: datetime
    actor: str
    question: str
    epsilon: float


class Ledger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ledger of one data set.

    Attributes:
        budget: the sum that all answers together may cost.
    """

    format: str
    dataset: str
    budget: float
    entries: tuple[Entry, ...] = ()

    @property
    def spent(self) -> float:
        """What was spent so far."""
        return sum(e.epsilon for e in self.entries)


def charge(
    path: Path, dataset: str, budget: float | None, epsilon: float, question: str, actor: str
) -> Ledger:
    """Books an answer before it is given: one that is lost on the way is paid for all the same.

    Args:
        budget: of a ledger that is to be begun; None to go on with one that is there.

    Raises:
        NotPermitted: too little is left.
        Conflict: the ledger is of another data set, or has another budget.
        Invalid: there is no ledger and no budget to begin one.
        IntegrityBroken: the ledger cannot be read.
    """
    with _locked(path):
        ledger = _read(path)
        if ledger is None:
            if budget is None:
                raise Invalid("protect.no_budget", f"{path.name} 尚不存在", "请以 --budget 立账")
            ledger = Ledger(_FORMAT, dataset, budget)
        if ledger.dataset != dataset or (budget is not None and budget != ledger.budget):
            raise Conflict(
                "protect.other_ledger",
                f"账本属于 {ledger.dataset[:80]}，预算 {ledger.budget:g}",
                "一个数据集一本账，预算立账后不改；请核对 --ledger 与 --budget",
            )
        if ledger.spent + epsilon > ledger.budget + _SLACK:
            raise NotPermitted(
                "protect.budget_spent",
                f"隐私预算还剩 {max(0.0, ledger.budget - ledger.spent):g}，不够 {epsilon:g}",
                "请降低 --epsilon，或沿用已有的结果；预算用尽后不再回答",
            )
        entry = Entry(datetime.now(UTC), actor, question, epsilon)
        ledger = msgspec.structs.replace(ledger, entries=(*ledger.entries, entry))
        write_atomically(path, msgspec.json.format(msgspec.json.encode(ledger), indent=1))
    return ledger


def _read(path: Path) -> Ledger | None:
    try:
        ledger = msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        ledger = None
    if ledger is None or ledger.format != _FORMAT or any(e.epsilon <= 0 for e in ledger.entries):
        raise IntegrityBroken(
            "protect.ledger_damaged",
            f"账本 {path.name} 已损坏或被改动",
            "请从备份恢复；不要另立新账",
        )
    return ledger


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Lets one process at a time read and write a ledger."""
    try:
        with path.with_name(f".{path.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise Invalid(
            "protect.not_writable", f"账本 {path.name} 不可写：{error.strerror}", "请检查目录与权限"
        ) from None
