"""Who may do what: Cedar policies, parsed once; what nothing permits is refused."""

from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from pingyao.kernel.errors import NotPermitted

if TYPE_CHECKING:  # the engine belongs to the extra ``node``
    from cedarpy import Entities, PolicySet

ROLES = ("system", "security", "audit", "officer", "reader")
ADMINISTRATORS = ("system", "security", "audit")
ACTIONS: dict[str, tuple[str, ...]] = {
    "catalogue.read": ("reading", "urgent"),
    "catalogue.decide": ("urgent",),
    "scan.read": ("reading",),
    "scan.start": (),
    "scan.stop": (),
    "people.list": ("reading", "urgent"),
    "account.create": ("account", "by_hand"),
    "account.suspend": ("account", "by_hand", "urgent"),
    "account.reset": ("account", "by_hand"),
    "account.grant": ("account", "by_hand"),
    "account.revoke": ("account", "by_hand"),
    "account.unlock": ("account", "by_hand", "urgent"),
    "account.vouch": ("account", "by_hand"),
    "audit.read": ("reading", "urgent"),
    "audit.export": ("reading", "urgent"),
    "evidence.read": ("reading",),
    "evidence.open": ("reading", "by_hand"),
    "evidence.verify": ("reading",),
    "override.list": ("reading",),
    "override.approve": ("account", "by_hand"),
    "override.end": ("by_hand",),
    "members.list": ("reading",),
    "members.describe": (),
    "members.invite": (),
    "members.join": (),
    "members.fetch": (),
    "members.confirm": ("by_hand",),
    "members.revoke": ("by_hand",),
    "members.rotate": ("by_hand",),
    "own.see": ("own",),
    "own.password": ("own", "by_hand"),
    "own.second_factor": ("own", "by_hand"),
    "own.sign_out": ("own", "by_hand"),
    "own.tokens": ("own", "by_hand"),
    "own.override": ("own", "by_hand"),
}
"""Every act there is, and the groups of acts it belongs to.

``by_hand`` needs a person who signed in herself, never a program; ``urgent`` may be lent in an emergency.
"""
SCOPES = tuple(a for a, groups in ACTIONS.items() if not {"own", "by_hand"} & {*groups})
"""What a token for programs can be made for."""
URGENT = tuple(a for a, groups in ACTIONS.items() if "urgent" in groups)
"""What an emergency override can be asked for."""


class Actor(msgspec.Struct, frozen=True):
    """Who acts.

    Attributes:
        id: number of the account.
        name: what goes into evidence.
        role: one of ``ROLES``, empty for none; an account never has two.
        ready: whether the password is the person's own and current, and the second factor set.
        scopes: what a program that acts for the account was given; None for the person herself.
        lent: what an emergency override lends her now.
    """

    id: int
    name: str
    role: str
    ready: bool = True
    scopes: tuple[str, ...] | None = None
    lent: tuple[str, ...] = ()


def require(actor: Actor, action: str, account: int | None = None) -> None:
    """Lets an act pass, or refuses it.

    Args:
        actor: who acts.
        action: one of ``ACTIONS``.
        account: the account acted upon; for ``own.…`` the actor's.

    Raises:
        NotPermitted: no policy permits it, or one forbids it.
    """
    if permits(actor, action, account):
        return
    if actor.scopes is not None:
        raise NotPermitted(
            "policy.out_of_scope",
            "此令牌的范围不含该操作，或该操作须由本人登录办理",
            "请另建范围足够的令牌，或登录控制台办理",
        )
    raise NotPermitted(
        "policy.refused",
        "您的角色无权做此操作" if actor.ready else "请先修改口令并完成登录所需的设置",
        "如确有需要，请联系安全管理员" if actor.ready else "请打开“我的账号”",
    )


@lru_cache(maxsize=1 << 14)  # the policies never change while a program runs
def permits(actor: Actor, action: str, account: int | None = None) -> bool:
    """Tells whether an act would pass; for showing or hiding a button, never for guarding."""
    from cedarpy import is_authorized

    if action not in ACTIONS:
        return False
    principal = {"type": "Account", "id": str(actor.id)}
    resource = {"type": "Account", "id": str(account)} if account else {"type": "Node", "id": ""}
    if action.startswith("own.") and account is None:
        resource = principal
    request = {
        "principal": principal,
        "action": {"type": "Action", "id": action},
        "resource": resource,
        "context": {
            "ready": actor.ready,
            "program": actor.scopes is not None,
            "scopes": _listed(actor.scopes or ()),
            "lent": _listed(actor.lent),
        },
    }
    parents = [{"type": "Role", "id": actor.role}] if actor.role in ROLES else []
    who = msgspec.json.encode([{"uid": principal, "attrs": {}, "parents": parents}]).decode()
    return is_authorized(request, _policies(), _actions().with_added_json_str(who)).allowed


def only_lent(actor: Actor, action: str) -> bool:
    """Tells whether an act that passes would not but for an emergency override."""
    return action in actor.lent and not permits(msgspec.structs.replace(actor, lent=()), action)


def _listed(actions: tuple[str, ...]) -> list[dict[str, dict[str, str]]]:
    return [{"__entity": {"type": "Action", "id": action}} for action in actions]


def policy_text() -> str:
    """Returns the policies as they are written."""
    return files("pingyao.platform").joinpath("policy.cedar").read_text("utf-8")


@cache
def _policies() -> "PolicySet":
    from cedarpy import PolicySet

    return PolicySet.from_str(policy_text())


@cache
def _actions() -> "Entities":
    from cedarpy import Entities

    listed = [
        {
            "uid": {"type": "Action", "id": name},
            "attrs": {},
            "parents": [{"type": "Action", "id": group} for group in groups],
        }
        for name, groups in ACTIONS.items()
    ]
    return Entities.from_json_str(msgspec.json.encode(listed).decode())
