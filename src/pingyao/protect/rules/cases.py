"""Cases: which act may follow which, who may do it, and what is signed. The state is replayed."""

from collections.abc import Iterable, Mapping
from datetime import date

import msgspec

from pingyao.kernel.errors import Conflict, IntegrityBroken, NotPermitted, NotYet
from pingyao.platform.crypto.release import person
from pingyao.platform.crypto.signers import Algorithm, verify
from pingyao.protect.lifecycle_model import Act, Case, Destruction, Export, State, Step

APPROVERS = 2
NEXT: Mapping[type, Mapping[tuple[State, Act], State]] = {
    Destruction: {
        ("requested", "approve"): "approved",
        ("requested", "refuse"): "refused",
        ("requested", "withdraw"): "withdrawn",
        ("approved", "withdraw"): "withdrawn",
        ("approved", "start"): "started",
        ("started", "start"): "started",  # a run that was interrupted goes on
        ("started", "carry_out"): "done",
        ("done", "verify"): "verified",
        ("done", "fail"): "approved",
    },
    Export: {
        ("requested", "approve"): "approved",
        ("requested", "refuse"): "refused",
        ("requested", "withdraw"): "withdrawn",
        ("approved", "revoke"): "withdrawn",
        ("approved", "use"): "used",
    },
}
STATES: Mapping[State, str] = {
    "requested": "待审批",
    "approved": "已批准",
    "started": "执行中",
    "done": "已执行，待核实",
    "verified": "已核实",
    "used": "已使用",
    "refused": "未批准",
    "withdrawn": "已撤回",
}
ACTS: Mapping[Act | str, str] = {
    "request": "申请",
    "approve": "批准",
    "refuse": "不批准",
    "withdraw": "撤回",
    "revoke": "撤销批准",
    "start": "开始执行",
    "carry_out": "执行完毕",
    "verify": "核实",
    "fail": "核实未通过",
    "use": "使用",
}
# What no policy can loosen, for both kinds.
_FLOOR = (("request", "approve"), ("carry_out", "verify"), ("start", "verify"))


def state(case: Case) -> State:
    """Returns where a case stands; every step is judged anew.

    Raises:
        Conflict, NotPermitted: its steps could not have happened.
    """
    where: State = "requested"
    for number, step in enumerate(case.steps):
        before = msgspec.structs.replace(case, steps=case.steps[:number])
        where = _after(before, where, step)
    return where


def admit(case: Case, step: Step) -> Case:
    """Returns the case with one more step.

    Raises:
        Conflict: it cannot follow; the state is named.
        NotPermitted: this person may not do it.
    """
    _after(case, state(case), step)
    return msgspec.structs.replace(case, steps=(*case.steps, step))


def _after(case: Case, where: State, step: Step) -> State:
    following = NEXT[type(case.body)].get((where, step.act))
    if following is None:
        raise Conflict(
            "lifecycle.illegal",
            f"{case.id} 目前“{STATES[where]}”，不能“{ACTS[step.act]}”",
            "请以 show 查看经过，按申请、审批、执行、核实的次序办理",
        )
    _may(case, step)
    if step.act == "approve" and needed(msgspec.structs.replace(case, steps=(*case.steps, step))):
        return "requested"
    return following


def _may(case: Case, step: Step) -> None:
    who = person(step.actor)
    if step.act == "withdraw" and who != person(case.requester):
        raise _refused(case, "只有申请人可以撤回", "请由申请人撤回，或由审批人不批准")
    for one, other in (*_FLOOR, *case.separate):
        for mine, theirs in ((one, other), (other, one)):
            if step.act == mine and who in _who(case, theirs):
                raise _refused(
                    case,
                    f"{step.actor} 已办过“{ACTS[theirs]}”，不得再办“{ACTS[mine]}”",
                    "请由另一人办理",
                )
    if step.act == "approve":
        if who in _who(case, "approve"):
            raise _refused(case, f"{step.actor} 已批准过，不能批准两次", "请由另一人批准")
        keys = {case.public_key, *(s.public_key for s in case.steps if s.act == "approve")}
        if step.public_key in keys:
            raise _refused(case, "申请与批准、或两次批准用了同一把密钥", "请各自使用本人的密钥")
        role = str(step.facts.get("role", ""))
        if isinstance(case.body, Export) and role not in needed(case):
            raise _refused(
                case,
                f"此项不需要或已有“{role}”的批准",
                f"尚需：{'、'.join(needed(case))}",
            )


def needed(case: Case) -> tuple[str, ...]:
    """Returns whose approval is still missing: roles of an export, a count of a destruction."""
    given = [s for s in case.steps if s.act == "approve"]
    if isinstance(case.body, Export):
        roles = {str(s.facts.get("role", "")) for s in given}
        return tuple(r for r in case.body.roles if r not in roles)
    return ("审批人",) * max(0, APPROVERS - len(given))


def _who(case: Case, act: str) -> set[str]:
    """Returns who did an act; of executing, only since verification last failed."""
    if act == "request":
        return {person(case.requester)}
    steps: Iterable[Step] = case.steps
    if act in ("start", "carry_out"):
        last = max((i for i, s in enumerate(case.steps) if s.act == "fail"), default=-1)
        steps = case.steps[last + 1 :]
    return {person(s.actor) for s in steps if s.act == act}


def message(case: Case, step: Step) -> bytes:
    """Returns what a step signs: the request, every step before it, and itself unsigned."""
    signed = (case, msgspec.structs.replace(step, signature=""))
    return b"pingyao/lifecycle/step/1\n" + msgspec.json.encode(signed, order="deterministic")


def request_message(case: Case) -> bytes:
    """Returns what the requester signs."""
    bare = msgspec.structs.replace(case, steps=(), signature="")
    return b"pingyao/lifecycle/request/1\n" + msgspec.json.encode(bare, order="deterministic")


def check_signatures(case: Case) -> None:
    """Checks every signature of a case, and that its steps could have happened.

    Raises:
        IntegrityBroken: a signature does not hold, or a person's act is not signed.
    """
    _check(case, case, "request", request_message(case))
    for number, step in enumerate(case.steps):
        if step.act != "use":
            before = msgspec.structs.replace(case, steps=case.steps[:number])
            _check(case, step, step.act, message(before, step))
    state(case)


def _check(case: Case, signed: Case | Step, act: str, said: bytes) -> None:
    try:
        key, signature = bytes.fromhex(signed.public_key), bytes.fromhex(signed.signature)
        algorithm = Algorithm(signed.algorithm)
    except ValueError:
        raise IntegrityBroken(
            "lifecycle.unsigned",
            f"{case.id} 的“{ACTS[act]}”没有签名",
            "该记录不能作为凭证；请查明来源",
        ) from None
    verify(algorithm, key, said, signature)


def usable(case: Case, today: date) -> Export:
    """Returns the export a case approves.

    Raises:
        NotYet: not approved yet, or not valid yet.
        Conflict: used already.
        NotPermitted: refused, withdrawn, expired, or no export.
    """
    where, body = state(case), case.body
    if not isinstance(body, Export):
        raise NotPermitted("approval.other_kind", f"{case.id} 不是导出审批", "请核对审批编号")
    if where == "requested":
        raise NotYet("approval.pending", f"{case.id} 尚未批准", f"尚需：{'、'.join(needed(case))}")
    if where == "used":
        raise Conflict("approval.used", f"{case.id} 已使用过，一次有效", "请另行申请")
    if where != "approved":
        raise NotPermitted("approval.void", f"{case.id} {STATES[where]}", "请另行申请")
    if today < date.fromisoformat(body.from_on):
        raise NotYet("approval.early", f"{case.id} 自 {body.from_on} 起有效", "请届时再办")
    if today > date.fromisoformat(body.until_on):
        raise NotPermitted("approval.expired", f"{case.id} 已于 {body.until_on} 过期", "请另行申请")
    return body


def _refused(case: Case, why: str, remedy: str) -> NotPermitted:
    return NotPermitted("lifecycle.not_you", f"{case.id}：{why}", remedy)
