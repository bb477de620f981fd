"""An export asked for and approved, for tests of what takes an approval."""

import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import sqlalchemy as sa

from cases import person
from pingyao.protect import acting
from pingyao.protect.approvals import request_export
from pingyao.protect.lifecycle_model import Export
from pingyao.protect.lifecycle_packs import load_rules

ROLES = ("业务部门负责人", "数据安全管理员", "高级管理层", "个人信息保护负责人")


def request(
    engine: sa.Engine, bound: str, source: str, **more: object
) -> tuple[str, list[acting.Hand]]:
    """Asks for an export; returns its number, and who may approve it."""
    hands = [person(f"{role}{uuid.uuid4().hex[:6]}") for role in ("申请人", *ROLES)]
    for hand, roles in zip(hands, ((), *((r,) for r in ROLES)), strict=True):
        acting.register(engine, hand, roles, "登记人")
    today = datetime.now(UTC).astimezone().date()
    body = Export(
        "sharing",
        "甲行",
        source,
        bound,
        3,
        2,
        1_000_000,
        f"{today}",
        f"{today + timedelta(5)}",
        "联合分析",
        (),
    )
    body = msgspec.structs.replace(body, **more)
    case = request_export(engine, hands[0], body, load_rules(), leaves=True)
    return case.id, hands[1:]


def approve(engine: sa.Engine, bound: str, source: str, **more: object) -> str:
    """Asks for an export and has it approved; returns its number."""
    number, hands = request(engine, bound, source, **more)
    body = acting.find(engine, number).body
    assert isinstance(body, Export)
    for role, hand in zip(ROLES, hands, strict=True):
        if role in body.roles:
            acting.act(engine, number, hand, "approve", {"role": role})
    return number
