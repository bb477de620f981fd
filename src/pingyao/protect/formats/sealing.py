"""Seals files and opens them: streaming, on the cores there are, whole or not at all."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

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
from pingyao.protect.formats.chunks import Hashing, Told, Work, read_at, spread, write_at
from pingyao.protect.formats.sealed import CHUNK_BYTES, LEAF_BYTES, SUITES, Foot, Head, Plan

_DATA_KEY_BYTES = 32


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
        Conflict: the target exists, or the source is written to meanwhile.
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
    with _reading(source) as given, _writing(target) as file:
        sealed.write_head(file, Head(plan, keys))
        file.flush()
        start, before = file.tell(), _written(given)
        length = before[0]
        count = max(1, -(-length // CHUNK_BYTES))
        leaves = bytearray(count * LEAF_BYTES)

        def worker() -> Work:
            aead, hashing = choose.aead(cipher, secret.content), Hashing(hashed_by, CHUNK_BYTES)
            text = memoryview(bytearray(CHUNK_BYTES))

            def work(first: int, stop: int) -> int:
                done = 0
                for number in range(first, stop):
                    piece = text[: min(CHUNK_BYTES, length - number * CHUNK_BYTES)]
                    read_at(given, piece, number * CHUNK_BYTES)
                    chunk = hashing.row(number - first, len(piece) + TAG_BYTES)
                    last = number == count - 1
                    aead.encrypt(sealed.nonce(number, last=last), piece, bound, chunk)
                    write_at(file, chunk, start + number * (CHUNK_BYTES + TAG_BYTES))
                    hashing.take(number - first)
                    done += len(piece)
                leaves[first * LEAF_BYTES : stop * LEAF_BYTES] = hashing.leaves()
                return done

            return work

        spread(count, worker, told)
        if _written(given) != before:
            raise Conflict(
                "protect.source_changed",
                f"{source.name} 在加密过程中被改写",
                "请待其写完后重试，目标未作改动",
            )
        file.seek(start + length + count * TAG_BYTES)
        file.write(leaves)
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

        start, size = given.tell(), plan.chunk_bytes

        with _writing(target) as file:

            def worker() -> Work:
                aead = choose.aead(SUITES[plan.suite][0], secret.content)
                chunk = memoryview(bytearray(size + TAG_BYTES))
                text = memoryview(bytearray(size + TAG_BYTES))

                def work(first: int, stop: int) -> int:
                    done = 0
                    for number in range(first, stop):
                        length = min(size, foot.length - number * size)
                        piece = chunk[: length + TAG_BYTES]
                        read_at(given, piece, start + number * (size + TAG_BYTES))
                        last = number == foot.chunks - 1
                        aead.decrypt(sealed.nonce(number, last=last), piece, bound, text)
                        write_at(file, text[:length], number * size)
                        done += length
                    return done

                return work

            try:
                spread(foot.chunks, worker, told)
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
        start, size = given.tell(), head.plan.chunk_bytes

        def worker() -> Work:
            hashing = Hashing(SUITES[head.plan.suite][1], size)

            def work(first: int, stop: int) -> int:
                done = 0
                for number in range(first, stop):
                    length = min(size, foot.length - number * size)
                    chunk = hashing.row(number - first, length + TAG_BYTES)
                    read_at(given, chunk, start + number * (size + TAG_BYTES))
                    hashing.take(number - first)
                    done += length
                held = leaves[first * LEAF_BYTES : stop * LEAF_BYTES]
                sealed.confirm(bytes(hashing.leaves()), held, name)
                return done

            return work

        spread(foot.chunks, worker, told)
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


def _said(head: Head, foot: Foot) -> Sealed:
    keys = tuple((k.key, k.version) for k in head.keys)
    return Sealed(head.plan.suite, foot.chunks, foot.length, foot.root, keys)


def _written(file: BinaryIO) -> tuple[int, int]:
    """Returns the size of a file and when it was last written to."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


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
