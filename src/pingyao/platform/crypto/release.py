"""Two-person release: a secret that takes the passphrases of two different persons to open.

Every pair of persons has the secret wrapped under a key derived from both passphrases. One person's
passphrase, with the file and the store's own passphrase, opens nothing.
"""

import os
import unicodedata
from itertools import combinations

import msgspec

from pingyao.kernel.errors import IntegrityBroken, Invalid, NotPermitted, NotYet
from pingyao.platform.crypto import choose, derive, passphrases
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.crypto.keys import Approvals
from pingyao.platform.crypto.ports import NONCE_BYTES

_CIPHER = "aes-256-gcm"
_MOST_PERSONS = 8


class PairWrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The secret as two persons can open it."""

    persons: tuple[str, str]
    nonce: bytes
    sealed: bytes


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret under two-person release.

    Attributes:
        stretches: how each person's passphrase becomes a key.
        wraps: one for every pair.
    """

    stretches: dict[str, Stretch]
    wraps: tuple[PairWrap, ...]


def person(name: str) -> str:
    """Returns a name as names are compared: one person is not two by spelling.

    Raises:
        Invalid: an empty name.
    """
    plain = unicodedata.normalize("NFKC", name).strip().casefold()
    if not plain:
        raise Invalid("keys.no_person", "保管人姓名是空的", "请写明姓名或工号")
    return plain


def close(secret: bytes, custodians: Approvals, context: bytes) -> Release:
    """Wraps a secret so that any two of the custodians can open it.

    Raises:
        Invalid: fewer than two persons, too many, weak passphrases or the same for two.
    """
    given = {person(name): phrase for name, phrase in custodians.items()}
    if not 2 <= len(given) <= _MOST_PERSONS or len(given) != len(custodians):
        raise Invalid(
            "keys.custodians", f"保管人应为 2 至 {_MOST_PERSONS} 名不同的人", "请核对姓名"
        )
    for phrase in given.values():
        passphrases.strong_enough(phrase)
    if len(set(given.values())) != len(given):
        raise Invalid("keys.custodians", "两名保管人用了同一口令", "请各自设定，互不告知")
    stretches = {name: derive.stretch() for name in given}
    held = {n: derive.from_passphrase(p, stretches[n]) for n, p in given.items()}
    wraps: list[PairWrap] = []
    for pair in combinations(sorted(given), 2):
        nonce = os.urandom(NONCE_BYTES)
        sealed = choose.seal(_CIPHER, _pair_key(held, pair), nonce, secret, context)
        wraps.append(PairWrap(pair, nonce, sealed))
    return Release(stretches, tuple(wraps))


def open_(release: Release, approvals: Approvals | None, context: bytes) -> bytes:
    """Opens a secret with the passphrases of two persons.

    Raises:
        NotYet: fewer than two different persons have approved.
        NotPermitted: somebody else approved, or a passphrase is wrong.
    """
    given = {person(name): phrase for name, phrase in (approvals or {}).items()}
    if len(given) < 2:
        raise NotYet(
            "keys.needs_two_persons",
            "此密钥须由两名不同的保管人共同批准方可使用",
            f"保管人：{'、'.join(sorted(release.stretches))}",
        )
    if strangers := sorted(set(given) - set(release.stretches)):
        raise NotPermitted(
            "keys.not_custodian",
            f"{'、'.join(strangers)} 不是此密钥的保管人",
            f"保管人：{'、'.join(sorted(release.stretches))}",
        )
    pair = tuple(sorted(given))[:2]
    held = {n: derive.from_passphrase(given[n], release.stretches[n]) for n in pair}
    for wrap in release.wraps:
        if wrap.persons == pair:
            try:
                return choose.unseal(
                    _CIPHER, _pair_key(held, wrap.persons), wrap.nonce, wrap.sealed, context
                )
            except IntegrityBroken:
                break
    # Which of the two is wrong is not said: it would let one person's passphrase be guessed alone.
    raise NotPermitted("keys.approval_refused", "批准口令有误", "请两名保管人各自核对后重试")


def _pair_key(held: dict[str, bytes], pair: tuple[str, str]) -> bytes:
    return derive.from_key(held[pair[0]] + held[pair[1]], "two-person")
