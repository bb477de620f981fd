"""One witness asked for its cosignatures, in a thread of its own: the latest checkpoint wins."""

import threading
from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from pingyao.kernel.errors import IntegrityBroken, PingyaoError, Unavailable
from pingyao.ledger.formats.note import parse_lines, parse_note, verify_note
from pingyao.ledger.formats.tlog_mirror import (
    INFO_MEDIA,
    MOST_PACKAGES,
    Package,
    format_add_entries,
    package_ranges,
    parse_info,
)
from pingyao.ledger.formats.tlog_policy import check_quorum
from pingyao.ledger.formats.tlog_witness import (
    SIZE_MEDIA,
    format_add_checkpoint,
    origin_hash,
    parse_size,
)
from pingyao.ledger.model import WIDTH, Checkpoint, Note, Policy, SignatureLine, VerifierKey
from pingyao.ledger.remote import Remote
from pingyao.ledger.views import View, read_view, split_at_once

_TRIES = 3
_UPLOAD_BYTES = 8 << 20


class Growing(Protocol):
    """A log that can prove its growth, and hand out what it holds."""

    def consistency(self, old: int, size: int) -> Sequence[bytes]:
        """Proves that the tree of one size grew from another."""
        ...

    def entries(self, first: int, count: int) -> list[bytes]:
        """Returns entries."""
        ...

    def subtree(self, start: int, end: int, size: int) -> Sequence[bytes]:
        """Proves that the subtree over some entries stands in the tree of a size."""
        ...


class Forked(IntegrityBroken):
    """Somebody holds a head signed by this very log that goes beyond it or against it.

    Attributes:
        theirs, ours: the signed checkpoints.
    """

    def __init__(self, theirs: str, ours: str, detail: str) -> None:
        super().__init__(
            "ledger.forked",
            detail,
            "切勿继续签发：本日志很可能由旧备份恢复，或另有一处在用同一密钥签发；请先找回最新数据",
        )
        self.theirs = theirs
        self.ours = ours


class Round:
    """One checkpoint and the cosignatures it has so far."""

    def __init__(self, log: Growing, head: Checkpoint, note: str, policy: Policy) -> None:
        self.log, self.head, self.note = log, head, note
        self.text = parse_note(note).text
        self.lines: list[SignatureLine] = []
        self.signed: set[VerifierKey] = set()
        self.failures: dict[str, PingyaoError] = {}
        self.answered = 0
        self.changed = threading.Condition()
        self._policy = policy

    def met(self) -> bool:
        """Tells whether the policy is satisfied."""
        try:
            check_quorum(self._policy, self.signed)
        except IntegrityBroken:
            return False
        return True


class Witness(threading.Thread):
    """Asks one witness, or one mirror, for round after round.

    Args:
        url: where it answers.
        keys: what it may cosign with.
        policy: whose logs it witnesses.
        seconds: patience with one answer.
    """

    def __init__(
        self,
        url: str,
        keys: Sequence[VerifierKey],
        policy: Policy,
        seconds: float,
    ) -> None:
        super().__init__(daemon=True, name=f"witness {url}")
        self._url = url
        self._keys = tuple(keys)
        self._logs = policy.logs
        self._remote = Remote(url, seconds=seconds)
        # What it last cosigned; asked for the first time it says so.
        self._size = 0
        self._next: Round | None = None
        self._stopped = False
        self._wake = threading.Condition()
        self.start()

    def submit(self, turn: Round) -> None:
        """Asks for a round; one that still waits is given up."""
        with self._wake:
            self._next = turn
            self._wake.notify()

    def stop(self) -> None:
        """Waits for what is being asked, and asks no more."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self.join()
        self._remote.close()

    def run(self) -> None:
        """Asks as long as there is anything to ask."""
        while True:
            with self._wake:
                while self._next is None and not self._stopped:
                    self._wake.wait()
                if self._stopped:
                    return
                turn, self._next = self._next, None
            if turn is not None:
                self._answer(turn)

    def _answer(self, turn: Round) -> None:
        try:
            lines, signed = self._cosign(turn)
        except PingyaoError as error:
            with turn.changed:
                turn.failures[self._url] = error
                turn.answered += 1
                turn.changed.notify_all()
            return
        with turn.changed:
            turn.lines += lines
            turn.signed |= signed
            turn.answered += 1
            turn.changed.notify_all()

    def _cosign(self, turn: Round) -> tuple[list[SignatureLine], set[VerifierKey]]:
        head = turn.head
        for _ in range(_TRIES):
            path = turn.log.consistency(self._size, head.size) if self._size else ()
            body = format_add_checkpoint(self._size, path, turn.note)
            answer = self._remote.post("add-checkpoint", body)
            if answer.status == 200:
                self._size = head.size
                # A mirror takes the head without a word, and cosigns once it holds the entries.
                return self._known(turn, answer.body or self._upload(turn))
            if answer.status == 409 and answer.media == SIZE_MEDIA:
                self._size = parse_size(answer.body)
                if self._size <= head.size:
                    continue
            self._look(turn, head)
            raise Unavailable(
                "ledger.witness_refuses", f"答复 {answer.status}", "请与见证方核对登记的密钥"
            )
        raise Unavailable("ledger.witness_refuses", "记录的大小不断变化", "请与见证方核对")

    def _upload(self, turn: Round) -> bytes:
        """Hands a mirror what it lacks; returns its cosignatures."""
        size, start, ticket = turn.head.size, turn.head.size, b""
        while True:
            body = format_add_entries(
                turn.head.origin, start, size, ticket, _packages(turn.log, start, size)
            )
            answer = self._remote.post(
                "add-entries", body, {"content-type": "application/octet-stream"}
            )
            if answer.status == 200:
                return answer.body
            if answer.status not in (202, 409) or answer.media != INFO_MEDIA:
                raise Unavailable(
                    "ledger.mirror_refuses", f"答复 {answer.status}", "请与镜像方核对其磁盘与登记"
                )
            told = parse_info(answer.body)
            # The first answer may go back to where the mirror is; after that it must come on.
            if told.size != size or (start < size and told.next <= start) or told.next >= size:
                raise Unavailable("ledger.mirror_refuses", "镜像没有进展", "请与镜像方核对")
            start, ticket = told.next, told.ticket

    def _known(self, turn: Round, body: bytes) -> tuple[list[SignatureLine], set[VerifierKey]]:
        """Keeps what its own keys signed; strangers' lines are passed over."""
        lines = parse_lines(body)
        signed = {s.key for s in verify_note(Note(turn.text, lines), self._keys)}
        known = {(k.name, k.key_id) for k in signed}
        return [s for s in lines if (s.name, s.key_id) in known], signed

    def _look(self, turn: Round, head: Checkpoint) -> None:
        """Asks a witness that refuses for the head it knows: ours beyond ours is a proof."""
        self._size = min(self._size, head.size)
        response = self._remote.get(f"{origin_hash(head.origin)}/checkpoint")
        if response.status != 200:
            return
        try:
            theirs = read_view(self._url, response.body.decode(), self._logs)
        except (IntegrityBroken, UnicodeDecodeError):
            return  # it proves nothing: one witness that talks nonsense does not stop the log
        ours = View("", turn.note, head)
        if theirs.head.origin == head.origin and theirs.head.size > head.size:
            raise Forked(
                theirs.note,
                turn.note,
                f"{self._url} 存有本日志签发的更大的树（{theirs.head.size:,}，本地 {head.size:,}）",
            )
        if split_at_once(theirs, ours):
            raise Forked(theirs.note, turn.note, f"{self._url} 存有同样大小而根不同的检查点")


def _packages(log: Growing, start: int, size: int) -> list[Package]:
    """Returns as many packages as one request should carry."""
    found: list[Package] = []
    held = 0
    for first, end in islice(package_ranges(start, size), MOST_PACKAGES):
        entries = log.entries(first, end - first)
        held += sum(map(len, entries))
        if found and held > _UPLOAD_BYTES:
            break
        path = log.subtree(first - first % WIDTH, end, size)
        found.append(Package(first, end, entries, list(path)))
    return found
