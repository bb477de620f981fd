"""Seals files and opens them: streaming, on the cores there are, whole or not at all."""

import errno
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import msgspec

from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotFound,
    PingyaoError,
    Unavailable,
)
from pingyao.platform.crypto import choose
from pingyao.platform.crypto.keys import Approvals, KeyHolder
from pingyao.platform.crypto.ports import TAG_BYTES
from pingyao.platform.files import replacing
from pingyao.protect.formats import sealed
from pingyao.protect.formats.sealed import CHUNK_BYTES, LEAF_BYTES, SUITES, Foot, Head, Plan

_MOST_WORKERS = 4
_DATA_KEY_BYTES = 32
Told = Callable[[int], None]
_T = TypeVar("_T")


class Sealed(msgspec.Struct, frozen=True):
    """What a sealed file says of itself.

    Attributes:
        length: of the clear text, in bytes.
        root: of the hash tree over its chunks, to be put into a receipt.
        keys: names and versions of the keys that open it.
    """

    suite: str
    chunks: int
    length: int
    root: bytes
    keys: tuple[tuple[str, int], ...]


def seal(
    source: Path,
    target: Path,
    holder: KeyHolder,
    names: tuple[str, ...],
    *,
    suite: str,
    approvals: Approvals | None = None,
    told: Told = lambda _: None,
) -> Sealed:
    """Encrypts a file under a new data key, wrapped for each of the keys named.

    Args:
        suite: ``intl`` (AES-256-GCM, SHA-256) or ``gm`` (SM4-GCM, SM3).
        told: told of bytes done.

    Raises:
        Conflict: the target exists.
        Invalid: no keys, an unknown suite, or the target cannot be written.
        NotFound: no such file or key.
    """
    if suite not in SUITES or not names:
        raise Invalid(
            "protect.bad_seal", "须指明密码套件与至少一把密钥", f"套件可用：{'、'.join(SUITES)}"
        )
    data_key, salt = os.urandom(_DATA_KEY_BYTES), os.urandom(16)
    secret = sealed.secrets(data_key, suite, salt)
    plan = Plan(suite, CHUNK_BYTES, salt, secret.commitment)
    bound = plan.encoded()
    keys = tuple(holder.wrap(name, data_key, bound, approvals) for name in names)
    cipher, hashed_by = SUITES[suite]
    digest = choose.digest(hashed_by)

    def worker() -> Callable[[int, bool, memoryview], tuple[memoryview, bytes]]:
        aead = choose.aead(cipher, secret.content)
        # The leaf's 00 stands before the chunk, so that they are hashed as one.
        out = memoryview(bytearray(1 + CHUNK_BYTES + TAG_BYTES))

        def work(number: int, last: bool, piece: memoryview) -> tuple[memoryview, bytes]:
            chunk = out[1 : len(piece) + TAG_BYTES]
            aead.encrypt(sealed.nonce(number, last=last), piece[1:], bound, chunk)
            return chunk, digest(out[: 1 + len(chunk)])

        return work

    with _reading(source) as given, _writing(target) as file:
        sealed.write_head(file, Head(plan, keys))
        leaves, length = bytearray(), 0
        for chunk, leaf in _each(given, CHUNK_BYTES, None, worker):
            file.write(chunk)
            leaves += leaf
            length += len(chunk) - TAG_BYTES
            told(len(chunk) - TAG_BYTES)
        file.write(leaves)
        count = len(leaves) // LEAF_BYTES
        foot = Foot(count, length, sealed.root_of(bytes(leaves), suite))
        foot = msgspec.structs.replace(foot, tag=sealed.foot_tag(secret, plan, foot))
        sealed.write_foot(file, foot)
    return _said(Head(plan, keys), foot)


def open_(
    source: Path,
    target: Path,
    holder: KeyHolder,
    *,
    approvals: Approvals | None = None,
    told: Told = lambda _: None,
) -> Sealed:
    """Decrypts a sealed file; the target appears only when every chunk was right.

    Raises:
        IntegrityBroken: something was altered, cut off or put in another order.
        NotFound: none of the keys that open it is here, or they were destroyed.
        Invalid: no sealed file, or the target cannot be written.
        Conflict: the target exists.
    """
    name = source.name
    with _reading(source) as given:
        head = sealed.read_head(given, name)
        plan, bound = head.plan, head.plan.encoded()
        secret = sealed.secrets(_data_key(head, holder, approvals), plan.suite, plan.salt)
        sealed.confirm(secret.commitment, plan.commitment, name)
        foot, _ = sealed.read_end(given, head, name)
        sealed.confirm(sealed.foot_tag(secret, plan, foot), foot.tag, name)

        def worker() -> Callable[[int, bool, memoryview], memoryview]:
            aead = choose.aead(SUITES[plan.suite][0], secret.content)
            out = memoryview(bytearray(plan.chunk_bytes + TAG_BYTES))

            def work(number: int, last: bool, piece: memoryview) -> memoryview:
                aead.decrypt(sealed.nonce(number, last=last), piece[1:], bound, out)
                return out[: len(piece) - 1 - TAG_BYTES]

            return work

        with _writing(target) as file:
            try:
                for text in _each(given, plan.chunk_bytes + TAG_BYTES, _chunk_bytes(foot), worker):
                    file.write(text)
                    told(len(text))
            except IntegrityBroken:
                raise sealed.damaged(name) from None
    return _said(head, foot)


def verify(source: Path, root: bytes | None = None, told: Told = lambda _: None) -> Sealed:
    """Checks a sealed file against its hash tree; no key is needed.

    What the file says of itself an attacker may have made up whole: compare the root with the one
    given when it was sealed.

    Raises:
        IntegrityBroken: it is not as it was sealed, or has another root.
    """
    name = source.name
    with _reading(source) as given:
        head = sealed.read_head(given, name)
        foot, leaves = sealed.read_end(given, head, name)
        if root is not None:
            sealed.confirm(root, foot.root, name)
        digest = choose.digest(SUITES[head.plan.suite][1])

        def worker() -> Callable[[int, bool, memoryview], tuple[bytes, int]]:
            return lambda _, __, piece: (digest(piece), len(piece) - 1 - TAG_BYTES)

        size = head.plan.chunk_bytes + TAG_BYTES
        for i, (leaf, length) in enumerate(_each(given, size, _chunk_bytes(foot), worker)):
            sealed.confirm(leaf, leaves[i * LEAF_BYTES : (i + 1) * LEAF_BYTES], name)
            told(length)
    return _said(head, foot)


def rewrap(
    source: Path, holder: KeyHolder, names: tuple[str, ...], approvals: Approvals | None = None
) -> Sealed:
    """Wraps the data key anew for the keys named, under their active versions; the data stay.

    Raises:
        NotFound: no key here opens the file.
    """
    with _reading(source) as given:
        head = sealed.read_head(given, source.name)
        data_key = _data_key(head, holder, approvals)
        foot, _ = sealed.read_end(given, head, source.name)
        bound = head.plan.encoded()
        chosen = names or tuple(dict.fromkeys(k.key for k in head.keys))
        keys = tuple(holder.wrap(name, data_key, bound, approvals) for name in chosen)
        head = Head(head.plan, keys)
        with _failing_clearly(source), replacing(source) as file:
            sealed.write_head(file, head)
            while piece := given.read(CHUNK_BYTES):
                file.write(piece)
    return _said(head, foot)


def _data_key(head: Head, holder: KeyHolder, approvals: Approvals | None) -> bytes:
    """Tries the keys the file names, in order."""
    first: PingyaoError | None = None
    for wrapped in head.keys:
        try:
            return holder.unwrap(wrapped, head.plan.encoded(), approvals)
        except (NotFound, IntegrityBroken) as error:
            first = first or error
    raise first or sealed.damaged("文件")


def _chunk_bytes(foot: Foot) -> int:
    return foot.length + foot.chunks * TAG_BYTES


def _said(head: Head, foot: Foot) -> Sealed:
    keys = tuple((k.key, k.version) for k in head.keys)
    return Sealed(head.plan.suite, foot.chunks, foot.length, foot.root, keys)


def _each(
    given: BinaryIO,
    size: int,
    total: int | None,
    worker: Callable[[], Callable[[int, bool, memoryview], _T]],
) -> Iterator[_T]:
    """Works on a file piece by piece, several at a time, and yields what comes of them in order.

    Args:
        size: of a piece.
        total: bytes to read; None for all there are.
        worker: makes what works on one piece: its number, whether it is the last, and its bytes
            behind a zero byte. What it gives may live in a buffer of its own: it is done with
            when the next one is asked for.
    """
    cores = min(os.cpu_count() or 1, _MOST_WORKERS)
    slots = [(memoryview(bytearray(1 + size)), worker()) for _ in range(cores + 2)]
    waiting: deque[Future[_T]] = deque()
    left = total
    with ThreadPoolExecutor(cores) as pool:
        filled, number, last = _fill(given, slots[0][0][1:], left), 0, False
        while not last:
            buffer, work = slots[number % len(slots)]
            if len(waiting) == cores:  # its slot is the one to be filled next
                yield waiting.popleft().result()
            if left is not None:
                left -= filled
            following = _fill(given, slots[(number + 1) % len(slots)][0][1:], left)
            last = following == 0
            waiting.append(pool.submit(work, number, last, buffer[: 1 + filled]))
            filled, number = following, number + 1
        while waiting:
            yield waiting.popleft().result()


def _fill(given: BinaryIO, buffer: memoryview, left: int | None) -> int:
    wanted = len(buffer) if left is None else min(left, len(buffer))
    filled = 0
    try:
        while filled < wanted:
            got = given.readinto(buffer[filled:wanted])  # type: ignore[attr-defined]  # a raw file
            if not got:
                break
            filled += got
    except OSError:
        raise Unavailable("protect.unreadable", "源文件读取中断", "请检查存储后重试") from None
    return filled


@contextmanager
def _reading(path: Path) -> Generator[BinaryIO]:
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        raise NotFound("protect.no_file", f"没有文件 {path.name}", "请核对路径") from None
    except OSError:
        raise Invalid("protect.unreadable", f"文件 {path.name} 无法读取", "请检查权限") from None
    with file:
        yield cast(BinaryIO, file)


@contextmanager
def _writing(path: Path) -> Generator[BinaryIO]:
    if path.exists():
        raise Conflict("protect.target_exists", f"{path.name} 已存在，未作改动", "请另指定目标")
    with _failing_clearly(path), replacing(path) as file:
        yield file


@contextmanager
def _failing_clearly(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise Unavailable(
            "protect.disk_full" if full else "protect.not_writable",
            f"{path.name} {'所在磁盘已满' if full else '无法写入'}，目标保持原样",
            "请腾出空间后重试" if full else "请检查所在目录的写权限",
        ) from None
