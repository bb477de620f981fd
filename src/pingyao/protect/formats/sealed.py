"""The layout of a sealed file: head, chunks, hash tree, foot.

::

    magic        8 bytes
    head         4 bytes of length, then JSON: `Head`
    chunks       each ``chunk_bytes`` of text and 16 bytes of tag; the last may be shorter, even empty
    leaves       32 bytes for each chunk: H(00 ‖ chunk with its tag)
    foot         `_FOOT`: magic, number of chunks, length of the text, root of the tree, MAC of these

A chunk's nonce holds its number and whether it is the last, so that chunks cannot be dropped,
repeated or put in another order. Every file has a key of its own, derived from its data key; the
head commits to it, because a tag of GCM alone does not. Whoever has no key can check the tree.

Cites: NIST SP 800-38D; RFC 8998; RFC 5869; RFC 6962, 2.1 for the tree.
"""

import hmac
import struct
from typing import BinaryIO

import msgspec

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.platform.crypto import choose, derive
from pingyao.platform.crypto.keys import Wrapped
from pingyao.platform.crypto.ports import KEY_BYTES, TAG_BYTES

MAGIC = b"PYSEAL\x00\x01"
_FOOT_MAGIC = b"PYTREE\x00\x01"
_FOOT = struct.Struct(">8sQQ32s32s")
FOOT_BYTES = _FOOT.size
LEAF_BYTES = 32
# Small enough to stay in a core's own cache between cipher and hash.
CHUNK_BYTES = 1 << 18
_MOST_CHUNK_BYTES = 1 << 26
_MOST_HEAD_BYTES = 1 << 20
# The name of a suite: its cipher and its hash.
SUITES = {"intl": ("aes-256-gcm", "sha256"), "gm": ("sm4-gcm", "sm3")}


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What never changes in the head, and is bound into every chunk.

    Attributes:
        suite: one of `SUITES`.
        salt: 16 bytes of this file alone.
        commitment: shows which data key it is, without giving it away.
    """

    suite: str
    chunk_bytes: int
    salt: bytes
    commitment: bytes

    def encoded(self) -> bytes:
        """Returns what data keys are wrapped for, and chunks are bound to."""
        return b"pingyao/sealed/1" + msgspec.json.encode(self)


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The head of a sealed file.

    Attributes:
        keys: the data key as each recipient can open it; rewrapping puts others in their place.
    """

    plan: Plan
    keys: tuple[Wrapped, ...]


class Foot(msgspec.Struct, frozen=True):
    """The end of a sealed file.

    Attributes:
        chunks: how many.
        length: of the clear text, in bytes.
        root: of the tree over the chunks.
        tag: MAC of the plan and the three before.
    """

    chunks: int
    length: int
    root: bytes
    tag: bytes = b""


class Secrets(msgspec.Struct, frozen=True):
    """What a data key and a salt give."""

    content: bytes
    foot: bytes
    commitment: bytes

    def __repr__(self) -> str:
        return "Secrets(…)"


def secrets(data_key: bytes, suite: str, salt: bytes) -> Secrets:
    """Derives a file's own keys."""
    cipher, hashed_by = SUITES[suite]
    size = KEY_BYTES[cipher][-1]
    return Secrets(
        derive.from_key(data_key, "sealed/content", salt, size, hashed_by),
        derive.from_key(data_key, "sealed/foot", salt, 32, hashed_by),
        derive.from_key(data_key, "sealed/commitment", salt, 32, hashed_by),
    )


def nonce(number: int, *, last: bool) -> bytes:
    """Returns the nonce of a chunk."""
    return bytes(3) + number.to_bytes(8, "big") + bytes([last])


def write_head(file: BinaryIO, head: Head) -> None:
    """Writes magic and head."""
    content = msgspec.json.encode(head)
    file.write(MAGIC + len(content).to_bytes(4, "big") + content)


def read_head(file: BinaryIO, name: str) -> Head:
    """Reads magic and head; the chunks follow.

    Raises:
        Invalid: this is no sealed file, or one of a later format.
        IntegrityBroken: it is cut off or damaged.
    """
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        raise Invalid(
            "protect.not_sealed",
            f"{name} 不是本软件封装的文件，或由更新的版本封装",
            "请核对文件；如由新版封装，请升级后再打开",
        )
    size = int.from_bytes(file.read(4), "big")
    content = file.read(size) if size <= _MOST_HEAD_BYTES else b""
    try:
        head = msgspec.json.decode(content, type=Head)
    except msgspec.MsgspecError:
        raise damaged(name) from None
    plan = head.plan
    if msgspec.json.encode(head) != content:  # one file, one spelling
        raise damaged(name)
    if plan.suite not in SUITES or not 1 <= plan.chunk_bytes <= _MOST_CHUNK_BYTES:
        raise damaged(name)
    return head


def foot_tag(secret: Secrets, plan: Plan, foot: Foot) -> bytes:
    """Returns the MAC of a foot."""
    facts = struct.pack(">QQ32s", foot.chunks, foot.length, foot.root)
    return derive.mac(secret.foot, facts + plan.encoded(), SUITES[plan.suite][1])


def write_foot(file: BinaryIO, foot: Foot) -> None:
    """Writes the end."""
    file.write(_FOOT.pack(_FOOT_MAGIC, foot.chunks, foot.length, foot.root, foot.tag))


def read_end(file: BinaryIO, head: Head, name: str) -> tuple[Foot, bytes]:
    """Reads leaves and foot and leaves the file where the chunks begin.

    Raises:
        IntegrityBroken: the file is cut off, or its parts do not add up.
    """
    start = file.tell()
    end = file.seek(0, 2)
    if end - start < FOOT_BYTES:
        raise damaged(name)
    file.seek(end - FOOT_BYTES)
    magic, *facts = _FOOT.unpack(file.read(FOOT_BYTES))
    foot = Foot(*facts)
    chunk = head.plan.chunk_bytes
    chunks = max(1, -(-foot.length // chunk))
    size = foot.length + foot.chunks * (TAG_BYTES + LEAF_BYTES) + FOOT_BYTES
    if magic != _FOOT_MAGIC or foot.chunks != chunks or size != end - start:
        raise damaged(name)
    file.seek(end - FOOT_BYTES - chunks * LEAF_BYTES)
    leaves = file.read(chunks * LEAF_BYTES)
    if root_of(leaves, head.plan.suite) != foot.root:
        raise damaged(name)
    file.seek(start)
    return foot, leaves


def root_of(leaves: bytes, suite: str) -> bytes:
    """Returns the root of the tree over leaf hashes (Cites: RFC 6962, 2.1).

    Pairs are hashed level by level; a level's last one without a partner goes up as it is, which
    is the same tree.
    """
    digest = choose.digest(SUITES[suite][1])
    level = [leaves[i : i + LEAF_BYTES] for i in range(0, len(leaves), LEAF_BYTES)]
    while len(level) > 1:
        paired = [digest(b"\x01" + a + b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(level) // 2 * 2 :]
    return level[0]


def confirm(held: bytes, wanted: bytes, name: str) -> None:
    """Compares in constant time.

    Raises:
        IntegrityBroken: they differ.
    """
    if not hmac.compare_digest(held, wanted):
        raise damaged(name)


def damaged(name: str) -> IntegrityBroken:
    """Returns what is raised when a sealed file is not as it was written."""
    return IntegrityBroken(
        "protect.sealed_damaged",
        f"{name} 不完整或被改动，未写出任何内容",
        "请重新取得该文件，并与封装时给出的树根比对",
    )
