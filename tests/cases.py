"""Persons with keys, and cases, for tests of the life cycle."""

from datetime import UTC, datetime

import msgspec

from pingyao.platform.crypto.signers import Algorithm, generate, open_signer
from pingyao.protect.acting import Hand
from pingyao.protect.lifecycle_model import Act, Case, Destruction, Export, Step, Thing
from pingyao.protect.rules.cases import message, request_message

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SEPARATE = (("approve", "start"), ("approve", "carry_out"))
DESTRUCTION = Destruction(
    Thing("file", "/data/old.csv"), "delete", "deletion", "bank", 3, 2, "目的已达成"
)
EXPORT = Export(
    "sharing",
    "甲行",
    "bank",
    "plan:" + "a" * 64,
    3,
    2,
    1000,
    "2026-01-01",
    "2026-01-20",
    "联合分析",
    ("业务", "安全"),
)


def person(name: str, algorithm: Algorithm = Algorithm.ED25519) -> Hand:
    return Hand(name, open_signer(algorithm, generate(algorithm)))


def opened(who: Hand, body: Destruction | Export = DESTRUCTION) -> Case:
    key = who.signer.public_key.hex()
    case = Case("DS-1", who.name, AT, body, who.signer.algorithm.value, key, SEPARATE)
    return msgspec.structs.replace(case, signature=who.signer.sign(request_message(case)).hex())


def step(case: Case, who: Hand, act: Act, **facts: object) -> Step:
    made = Step(act, who.name, AT, facts, who.signer.algorithm.value, who.signer.public_key.hex())
    return msgspec.structs.replace(made, signature=who.signer.sign(message(case, made)).hex())
