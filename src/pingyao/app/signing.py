"""What the commands of the life cycle share: who acts with which key, and by which rules."""

import os
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from pingyao.app.evidence import settle
from pingyao.app.opening import Db, open_catalogue
from pingyao.kernel.errors import Invalid
from pingyao.platform.settings import load_settings

if TYPE_CHECKING:  # commands import what they need when they run
    from pingyao.platform.crypto.keystore import KeyStore
    from pingyao.protect.acting import Hand
    from pingyao.protect.lifecycle_model import Act, Case
    from pingyao.protect.lifecycle_packs import Rules

As = Annotated[str, Parameter("--as", help="本人姓名，须已登记")]
Key = Annotated[str, Parameter(help="本人签名密钥在密钥库中的名称（ed25519 或 sm2）")]
Keystore = Annotated[Path | None, Parameter(help="本人的密钥库；默认取 PINGYAO_KEYSTORE")]
DataKeystore = Annotated[
    Path | None,
    Parameter(
        help="销毁密钥时，存放该密钥的密钥库；口令取自 PINGYAO_DATA_KEYSTORE_PASSPHRASE（_FILE）"
    ),
]
Own = Annotated[
    tuple[Path, ...], Parameter(help="本机构的生命周期规则包；默认取 PINGYAO_LIFECYCLE")
]
Json = Annotated[bool, Parameter(help="以 JSON 输出到标准输出", negative="")]
Reason = Annotated[str, Parameter(help="理由")]


def rules_in_force(own: tuple[Path, ...]) -> "Rules":
    """Loads the packs given, or those of the settings, over the shipped ones."""
    from pingyao.protect.lifecycle_packs import load_rules

    return load_rules(own or tuple(Path(p) for p in load_settings().lifecycle))


def open_keys(given: Path | None, variable: str = "PINGYAO_KEYSTORE") -> "KeyStore":
    """Opens a keystore; its passphrase stands in the variable that goes with it."""
    from pingyao.platform.crypto.keystore import default_path, open_keystore
    from pingyao.platform.crypto.passphrases import passphrase

    where = given or Path(os.environ.get("PINGYAO_KEYSTORE") or default_path())
    return open_keystore(where, passphrase(f"{variable}_PASSPHRASE", f"密钥库 {where.name} 的口令"))


def hand_of(name: str, key: str, keystore: Path | None) -> "Hand":
    """Takes a person's signing key out of his keystore."""
    from pingyao.protect.acting import hand

    return hand(open_keys(keystore), name, key)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Signer:
    """Options of every command that a person signs."""

    as_: As
    key: Key
    keystore: Keystore = None
    db: Db = None

    def hand(self) -> "Hand":
        """Takes the signing key out of the keystore, which takes as long as its passphrase demands."""
        return hand_of(self.as_, self.key, self.keystore)


Id = Annotated[str, Parameter(help="编号")]


def act_on(id_: str, who: "Hand", what: "Act", db: str | None, **facts: object) -> "Case":
    """Does an act in a case and says where it stands."""
    from pingyao.protect.acting import act
    from pingyao.protect.rules.cases import STATES, needed, state

    engine = open_catalogue(db)
    case = act(engine, id_, who, what, facts)
    settle(engine)
    where = state(case)
    more = f"，尚需：{'、'.join(needed(case))}" if where == "requested" else ""
    print(f"{case.id} {STATES[where]}{more}")
    return case


def day(text: str) -> date:
    """Reads an ISO date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid("lifecycle.bad_date", "日期应写成 2026-01-31", "请改正日期") from None


def dump(value: object) -> None:
    """Writes JSON to standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
