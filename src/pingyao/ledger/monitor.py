"""Comparing what every side shows of a log; two faces are an alarm that carries its own proof."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from pingyao.kernel.errors import IntegrityBroken, Invalid, PingyaoError, Unavailable
from pingyao.ledger.formats.text import to_base64
from pingyao.ledger.formats.tlog_tiles import Tile, format_path, split_tile, width_at
from pingyao.ledger.model import HEIGHT, WIDTH, Checkpoint, Policy, VerifierKey
from pingyao.ledger.remote import Fetch, Remote
from pingyao.ledger.rules.tree import consistency_ranges, perfect_root, range_hash
from pingyao.ledger.standing import standings
from pingyao.ledger.views import Split, View, check_split, read_view, split_at_once
from pingyao.platform.files import write_atomically


class Alarm(msgspec.Struct, frozen=True):
    """Something that ought not to be, with what proves it.

    Attributes:
        kind: ``split`` — the log signed two trees; ``witness_rolled_back`` — a witness cosigned a smaller
            tree after a larger; ``log_rolled_back`` — the log shows a smaller tree than before.
        sources: who showed what.
        first, second: the signed notes.
        split: what makes a split undeniable.
    """

    kind: str
    sources: tuple[str, str]
    first: str
    second: str
    split: Split | None = None


class Round(msgspec.Struct, frozen=True):
    """One comparison.

    Attributes:
        views: what was shown, by source.
        silent: who did not answer, and why.
        unsettled: heads whose growth could not be checked now, by source.
    """

    views: tuple[View, ...]
    silent: dict[str, str]
    alarms: tuple[Alarm, ...]
    unsettled: dict[str, str]


class RemoteTree:
    """A log's tree as its tiles tell it, believed only after its root was recomputed.

    Raises:
        IntegrityBroken: the tiles are not those of the head.
        Unavailable: a tile is not to be had.
    """

    def __init__(self, fetch: Fetch, head: Checkpoint) -> None:
        self._fetch, self._size = fetch, head.size
        self._tiles: dict[Tile, list[bytes]] = {}
        if head.size and range_hash(0, head.size, self.node) != head.root:
            raise IntegrityBroken(
                "ledger.tiles_differ", "日志发布的瓦片与其检查点不符", "请保留现场并与日志方联系"
            )

    def node(self, level: int, index: int) -> bytes:
        """Returns the hash of a perfect subtree."""
        tile_level, height = divmod(level, HEIGHT)
        first = index << height
        number = first // WIDTH
        tile = Tile(tile_level, number, width_at(tile_level, number, self._size))
        if tile not in self._tiles:
            self._tiles[tile] = split_tile(self._fetch(format_path(tile)), tile.width)
        start = first - number * WIDTH
        return perfect_root(self._tiles[tile][start : start + (1 << height)])

    def root(self, size: int) -> bytes:
        """Returns the root the tree had at a size."""
        return range_hash(0, size, self.node)

    def consistency(self, old: int) -> tuple[bytes, ...]:
        """Proves the growth from a size."""
        return tuple(range_hash(*r, self.node) for r in consistency_ranges(old, self._size))


def compare(views: Sequence[View], log: View, fetch: Fetch) -> tuple[list[Alarm], dict[str, str]]:
    """Compares heads with each other and with the tree the log publishes.

    Returns:
        Alarms, and by source why a head could not be checked.
    """
    alarms: list[Alarm] = []
    unsettled: dict[str, str] = {}
    everyone = [log, *(v for v in views if v.note != log.note)]
    for i, first in enumerate(everyone):
        for second in everyone[i + 1 :]:
            if split := split_at_once(first, second):
                alarms.append(_split(first, second, split))
    smaller = [v for v in everyone if 0 < v.head.size < log.head.size]
    for view in everyone:
        if view.head.size > log.head.size:
            unsettled[view.source] = (
                f"已见 {view.head.size:,} 条，日志只发布到 {log.head.size:,} 条"
            )
    if smaller:
        try:
            tree = RemoteTree(fetch, log.head)
            for view in smaller:
                root = tree.root(view.head.size)
                if root != view.head.root:
                    path = tree.consistency(view.head.size)
                    alarms.append(_split(view, log, Split(view.note, log.note, root, path)))
        except PingyaoError as error:
            unsettled |= {v.source: error.detail for v in smaller}
    return alarms, unsettled


def _split(first: View, second: View, split: Split) -> Alarm:
    return Alarm("split", (first.source, second.source), split.first, split.second, split)


def watch(policy: Policy, folder: Path, *, seconds: float = 5.0) -> Round:
    """Looks once at a log and its witnesses, compares, and keeps what was seen.

    Args:
        policy: the log (with its URL) and its witnesses (with theirs).
        folder: where heads seen and alarms are kept.

    Raises:
        Invalid: the policy does not say where the log is.
        Unavailable: the log does not answer.
        IntegrityBroken: what it answers is not signed by it.
    """
    origin = policy.logs[0].name if policy.logs else ""
    url = policy.urls.get(origin)
    if not url:
        raise Invalid("ledger.no_log_url", "信任策略没有写明日志的地址", "请在 log 行后补上 URL")
    keys = [k for k in policy.logs if k.name == origin]
    remote = Remote(url, seconds=seconds)
    try:
        note = remote.fetch("checkpoint").decode("utf-8", "surrogateescape")
        log = read_view(url, note, keys)
        found = standings(policy, origin, seconds=seconds)
        views = [s.view for s in found if s.view is not None]
        alarms, unsettled = compare([*_remembered(folder, keys), *views], log, remote.fetch)
    finally:
        remote.close()
    for view in (log, *views):
        if alarm := _went_back(folder, view, keys, policy):
            alarms.append(alarm)
        else:
            _remember(folder, view)
    for alarm in alarms:
        write_alarm(folder / "alarms", alarm)
    silent = {s.url: s.failure.detail for s in found if s.failure is not None}
    return Round((log, *views), silent, tuple(alarms), unsettled)


def _file(folder: Path, source: str) -> Path:
    return folder / "seen" / hashlib.sha256(source.encode()).hexdigest()[:24]


def _remember(folder: Path, view: View) -> None:
    path = _file(folder, view.source)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, msgspec.json.encode((view.source, view.note)))


def _remembered(folder: Path, keys: Iterable[VerifierKey]) -> list[View]:
    """Returns the heads seen before: a log cannot wait until everybody has forgotten."""
    found: list[View] = []
    for path in sorted((folder / "seen").glob("*")):
        try:
            source, note = msgspec.json.decode(path.read_bytes(), type=tuple[str, str])
            found.append(read_view(f"{source}（先前所见）", note, keys))
        except (msgspec.DecodeError, UnicodeDecodeError, IntegrityBroken):
            raise Invalid(
                "ledger.monitor_memory", f"监测记录 {path.name} 已损坏", "请移走该文件后重试"
            ) from None
    return found


def _went_back(
    folder: Path, view: View, keys: Iterable[VerifierKey], policy: Policy
) -> Alarm | None:
    path = _file(folder, view.source)
    if not path.exists():
        return None
    _, note = msgspec.json.decode(path.read_bytes(), type=tuple[str, str])
    before = read_view(view.source, note, keys, policy.witnesses.values())
    if before.head.size <= view.head.size:
        return None
    of_log = view.source == policy.urls.get(view.head.origin)
    kind = "log_rolled_back" if of_log else "witness_rolled_back"
    return Alarm(kind, (view.source, view.source), before.note, view.note)


def write_alarm(folder: Path, alarm: Alarm) -> Path:
    """Writes an alarm so that it can be handed to anybody: two notes, and what makes them a proof."""
    name = hashlib.sha256((alarm.first + alarm.second).encode()).hexdigest()[:16]
    target = folder / f"{alarm.kind}-{name}"
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(target / "first.note", alarm.first.encode())
    write_atomically(target / "second.note", alarm.second.encode())
    told: dict[str, object] = {"kind": alarm.kind, "sources": alarm.sources}
    if alarm.split is not None:
        told["prefix_root"] = to_base64(alarm.split.prefix_root)
        told["path"] = [to_base64(h) for h in alarm.split.path]
    write_atomically(target / "alarm.json", msgspec.json.encode(told))
    return target


def check_alarm(folder: Path, keys: Iterable[VerifierKey]) -> tuple[View, View]:
    """Checks a split handed over by somebody else, with the log's keys alone.

    Raises:
        IntegrityBroken: it proves nothing.
        Unavailable: it cannot be read.
    """
    import base64

    try:
        told = msgspec.json.decode((folder / "alarm.json").read_bytes())
        split = Split(
            (folder / "first.note").read_text("utf-8"),
            (folder / "second.note").read_text("utf-8"),
            base64.b64decode(told["prefix_root"], validate=True),
            tuple(base64.b64decode(h, validate=True) for h in told["path"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise Unavailable(
            "ledger.alarm_unreadable", f"{folder.name} 不是分叉报警材料", "请核对目录"
        ) from None
    return check_split(split, keys)
