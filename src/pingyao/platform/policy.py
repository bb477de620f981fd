"""Who may do what: Cedar policies, parsed once; what nothing permits is refused."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from pingyao.kernel.errors import NotPermitted

if TYPE_CHECKING:  # the engine belongs to the extra ``node``
    from cedarpy import Entities, PolicySet

ROLES = ("system", "security", "audit", "officer", "reader")
ADMINISTRATORS = ("system", "security", "audit")
ACTIONS: dict[str, tuple[str, ...]] = {
    "catalogue.read": ("reading",),
    "catalogue.decide": (),
    "scan.read": ("reading",),
    "scan.start": (),
    "scan.stop": (),
    "people.list": ("reading",),
    "account.create": ("account",),
    "account.suspend": ("account",),
    "account.reset": ("account",),
    "account.grant": ("account",),
    "account.revoke": ("account",),
    "account.unlock": ("account",),
    "audit.read": ("reading",),
    "audit.export": ("reading",),
    "members.list": ("reading",),
    "members.describe": (),
    "members.invite": (),
    "members.join": (),
    "members.confirm": (),
    "members.revoke": (),
    "members.rotate": (),
    "own.see": ("own",),
    "own.password": ("own",),
    "own.second_factor": ("own",),
    "own.sign_out": ("own",),
}
"""Every act there is, and the groups of acts it belongs to."""


class Actor(msgspec.Struct, frozen=True):
    """Who acts.

    Attributes:
        id: number of the account.
        name: what goes into evidence.
        role: one of ``ROLES``, empty for none; an account never has two.
        ready: whether the password is the person's own and current, and the second factor set.
    """

    id: int
    name: str
    role: str
    ready: bool = True


def require(actor: Actor, action: str, account: int | None = None) -> None:
    """Lets an act pass, or refuses it.

    Args:
        actor: who acts.
        action: one of ``ACTIONS``.
        account: the account acted upon; for ``own.…`` the actor's.

    Raises:
        NotPermitted: no policy permits it, or one forbids it.
    """
    if not permits(actor, action, account):
        raise NotPermitted(
            "policy.refused",
            "您的角色无权做此操作" if actor.ready else "请先修改口令并完成登录所需的设置",
            "如确有需要，请联系安全管理员" if actor.ready else "请打开“我的账号”",
        )


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
        "context": {"ready": actor.ready},
    }
    parents = [{"type": "Role", "id": actor.role}] if actor.role in ROLES else []
    who = msgspec.json.encode([{"uid": principal, "attrs": {}, "parents": parents}]).decode()
    return is_authorized(request, _policies(), _actions().with_added_json_str(who)).allowed


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
