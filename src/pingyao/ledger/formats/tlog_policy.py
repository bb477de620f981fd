"""Trust policies: which logs, which witnesses, and how many of them.

Cites: C2SP tlog-policy (5ba5ee8, 2026-07-22).
"""

import re
from collections.abc import Iterable, Set

import msgspec

from pingyao.kernel.errors import IntegrityBroken, Invalid
from pingyao.ledger.formats.note import format_vkey, parse_vkey
from pingyao.ledger.model import (
    ED25519,
    ED25519_COSIGNATURE,
    ML_DSA_44_COSIGNATURE,
    SM2,
    SM2_COSIGNATURE,
    Group,
    Policy,
    VerifierKey,
)

NONE = "none"
_MAX_BYTES = 1_000_000
_MAX_LINES = 2_000
_BAD_OCTETS = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_LOG_TYPES = (ED25519, ML_DSA_44_COSIGNATURE, SM2)
_WITNESS_TYPES = (ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE, SM2_COSIGNATURE)


class _Draft(msgspec.Struct):
    logs: list[VerifierKey] = []
    witnesses: dict[str, VerifierKey] = {}
    groups: dict[str, Group] = {}
    urls: dict[str, str] = {}
    members: set[str] = set()
    quorum: str | None = None

    def defined(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups


def parse_policy(data: bytes) -> Policy:
    """Reads a policy file. Names are opaque octets, kept as text that gives the same octets back.

    Raises:
        Invalid: a line cannot be understood, is not allowed, or there is no quorum.
    """
    draft = _Draft()
    if len(data) > _MAX_BYTES or data.count(b"\n") > _MAX_LINES or _BAD_OCTETS.search(data):
        raise _invalid("信任策略过大或含有不允许的字符")
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = [w for w in re.split("[ \t]+", line) if w]
        if not words or words[0].startswith("#"):
            continue
        reader = _READERS.get(words[0])
        try:
            if reader is None:
                raise ValueError("keyword")
            reader(draft, words[1:])
        except (ValueError, Invalid):
            raise _invalid(f"信任策略第 {number} 行有误") from None
    if draft.quorum is None:
        raise _invalid("信任策略没有 quorum 行")
    return Policy(tuple(draft.logs), draft.witnesses, draft.groups, draft.quorum, draft.urls)


def _log(draft: _Draft, words: list[str]) -> None:
    vkey, *url = words
    key = parse_vkey(vkey)
    if len(url) > 1 or key.type not in _LOG_TYPES or _same_key(key, draft.logs):
        raise ValueError("log")
    draft.logs.append(key)
    if url:
        draft.urls[key.name] = url[0]


def _witness(draft: _Draft, words: list[str]) -> None:
    name, vkey, *url = words
    key = parse_vkey(vkey)
    if (
        len(url) > 1
        or key.type not in _WITNESS_TYPES
        or name == NONE
        or draft.defined(name)
        or _same_key(key, draft.witnesses.values())
    ):
        raise ValueError("witness")
    draft.witnesses[name] = key
    if url:
        draft.urls[name] = url[0]


def _group(draft: _Draft, words: list[str]) -> None:
    name, count, *members = words
    if name == NONE or draft.defined(name) or not members:
        raise ValueError("group")
    if count not in ("all", "any") and not re.fullmatch("[1-9][0-9]{0,3}", count):
        raise ValueError("threshold")
    threshold = {"all": len(members), "any": 1}.get(count) or int(count)
    if threshold > len(members) or len(set(members)) < len(members):
        raise ValueError("threshold")
    if draft.members & set(members) or not all(draft.defined(m) for m in members):
        raise ValueError("member")
    draft.members.update(members)
    draft.groups[name] = Group(threshold, tuple(members))


def _quorum(draft: _Draft, words: list[str]) -> None:
    (name,) = words
    if draft.quorum is not None or (name != NONE and not draft.defined(name)):
        raise ValueError("quorum")
    draft.quorum = name


_READERS = {"log": _log, "witness": _witness, "group": _group, "quorum": _quorum}


def _same_key(key: VerifierKey, others: Iterable[VerifierKey]) -> bool:
    return any(key.public_key == o.public_key for o in others)


def _invalid(detail: str) -> Invalid:
    return Invalid("ledger.policy.malformed", detail, "请对照 tlog-policy 的写法改正策略文件")


def format_policy(policy: Policy) -> bytes:
    """Writes a policy file."""
    url = {name: f" {u}" for name, u in policy.urls.items()}
    lines = [f"log {format_vkey(k)}{url.get(k.name, '')}" for k in policy.logs]
    lines += [f"witness {n} {format_vkey(k)}{url.get(n, '')}" for n, k in policy.witnesses.items()]
    lines += [f"group {n} {g.threshold} {' '.join(g.members)}" for n, g in policy.groups.items()]
    lines.append(f"quorum {policy.quorum}")
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")


def check_quorum(policy: Policy, signed: Set[VerifierKey]) -> None:
    """Checks that enough witnesses signed.

    Raises:
        IntegrityBroken: the quorum is not met.
    """
    reached = {NONE, *(n for n, k in policy.witnesses.items() if k in signed)}
    # A group names only what stands before it, so one pass in order is enough.
    for name, group in policy.groups.items():
        if sum(m in reached for m in group.members) >= group.threshold:
            reached.add(name)
    if policy.quorum not in reached:
        count = sum(k in signed for k in policy.witnesses.values())
        raise IntegrityBroken(
            "ledger.quorum.not_met",
            f"见证联署不足：{len(policy.witnesses)} 个见证方中 {count} 个已联署，未达策略要求",
            "请待更多见证方联署后重新取证",
        )
