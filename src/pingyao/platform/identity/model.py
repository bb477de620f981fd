"""What identity speaks of: accounts, their states, sessions. Frozen values."""

from typing import Literal

import msgspec

from pingyao.platform.policy import Actor

State = Literal["waiting", "active", "suspended"]


class Account(msgspec.Struct, frozen=True):
    """A person's account.

    Attributes:
        name: what is typed at sign-in; lower case.
        person: the person's name.
        role: one of ``policy.ROLES``; empty until granted.
        state: ``waiting`` has no password that works, until the security administrator grants a role.
        must_change: the password is a one-time password.
        second_factor: whether a TOTP device is set up.
        locked_until: seconds since the epoch; 0 when not locked out.
    """

    id: int
    name: str
    person: str
    role: str
    state: State
    must_change: bool
    second_factor: bool
    locked_until: int
    created_at: int


class Issued(msgspec.Struct, frozen=True):
    """An account and the one-time password that was just made for it, shown once."""

    account: Account
    password: str


class Institution(msgspec.Struct, frozen=True):
    """Whose node this is.

    Attributes:
        uscc: unified social credit code.
        role: ``member`` or ``centre``.
        second_factor: whether everybody must have one.
    """

    name: str
    uscc: str
    role: str
    second_factor: bool


class Session(msgspec.Struct, frozen=True):
    """Somebody signed in.

    Attributes:
        token: the secret in the cookie; the database holds only its digest.
        csrf: what a client that is no browser sends along with what it changes.
        why_unready: ``password`` or ``second_factor`` while something must be done first.
    """

    token: str
    csrf: str
    actor: Actor
    person: str
    why_unready: str = ""
