"""The sequencer's side of witnessing: cosignatures gathered side by side until the policy is met."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pingyao.kernel.errors import PingyaoError, Unavailable
from pingyao.ledger.asking import Forked, Growing, Round, Witness
from pingyao.ledger.formats.note import format_line
from pingyao.ledger.keys import OwnKeys
from pingyao.ledger.model import Checkpoint, Policy, SignatureLine
from pingyao.ledger.standing import by_url, standings
from pingyao.ledger.store.reader import read_policy
from pingyao.ledger.store.writer import Log


class Cosigning:
    """Asks the witnesses of a policy, each in a thread of its own; the latest checkpoint wins.

    Args:
        policy: whom to ask and how many must cosign; witnesses without a URL are not asked.
        seconds: patience with one answer.
        patience: how long to wait for the quorum.
    """

    def __init__(self, policy: Policy, *, seconds: float = 5.0, patience: float = 10.0) -> None:
        self._policy, self._seconds, self._patience = policy, seconds, patience
        self._witnesses = [
            Witness(url, keys, policy, seconds) for url, keys in by_url(policy).items()
        ]

    def cosign(self, log: Growing, head: Checkpoint, note: str) -> Sequence[SignatureLine]:
        """Returns cosignatures as soon as the quorum is met.

        Args:
            log: proves its own growth.
            head: what is to be cosigned.
            note: the same with the log's signatures.

        Raises:
            Unavailable: the quorum was not met in time; the checkpoint is not to be published.
            Forked: a witness proves that the log has been further, or elsewhere.
        """
        turn = Round(log, head, note, self._policy)
        until = time.monotonic() + self._patience
        for witness in self._witnesses:
            witness.submit(turn)
        with turn.changed:
            while not turn.met():
                for failure in turn.failures.values():
                    if isinstance(failure, Forked):
                        raise failure
                left = until - time.monotonic()
                if left <= 0 or turn.answered == len(self._witnesses):
                    raise _not_met(turn.failures)
                turn.changed.wait(left)
            return tuple(turn.lines)

    def heads(self, origin: str) -> Sequence[str]:
        """Returns the signed heads of a log that the witnesses hold."""
        found = standings(self._policy, origin, seconds=self._seconds)
        return [s.view.note for s in found if s.view is not None]

    def close(self) -> None:
        """Stops asking."""
        for witness in self._witnesses:
            witness.stop()

    def __enter__(self) -> "Cosigning":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _not_met(failures: Mapping[str, PingyaoError]) -> Unavailable:
    said = "；".join(f"{url}：{e.detail}" for url, e in sorted(failures.items()))
    return Unavailable(
        "ledger.quorum_not_yet",
        "见证联署未达策略要求，检查点未发布" + (f"（{said}）" if said else ""),
        "已记录的内容不会丢失；请检查见证方后重试",
    )


@contextmanager
def open_log(folder: Path, keys: OwnKeys, mark: Path) -> Generator[tuple[Log, Cosigning | None]]:
    """Opens a log for appending, after asking its witnesses how far they have seen it.

    Gives the log, and its witnesses where the policy has any.
    """
    policy = read_policy(folder)
    if policy.quorum == "none":
        with Log(folder, keys, mark=mark) as log:
            yield log, None
        return
    with Cosigning(policy) as cosigning:
        heads = cosigning.heads(policy.logs[0].name)
        with Log(folder, keys, mark=mark, heads=heads) as log:
            yield log, cosigning


def publish(log: Log, cosigning: Cosigning | None) -> str:
    """Signs the head, gathers what the policy demands, and publishes it.

    Raises:
        Unavailable: the quorum was not met; everything appended stays, and is published next time.
    """
    head, note = log.sign()
    if cosigning is not None:
        note += "".join(map(format_line, cosigning.cosign(log, head, note)))
    log.publish(note)
    return note
