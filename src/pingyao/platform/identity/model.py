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
        program: the name of the token a program came with; empty for a person.
    """

    token: str
    csrf: str
    actor: Actor
    person: str
    why_unready: str = ""
    program: str = ""


class SecondStep(msgspec.Struct, frozen=True):
    """A sign-in half done: the second factor is still to be shown.

    Attributes:
        ticket: names this sign-in once, for two minutes.
        options: what the browser asks the security key for, as JSON; empty where there is none.
        code: whether a six-digit code will do.
    """

    ticket: str
    options: str
    code: bool = False


class Passkey(msgspec.Struct, frozen=True):
    """A security key or passkey of a person.

    Attributes:
        site: the node's name it was registered under and works for.
    """

    id: int
    name: str
    site: str
    created_at: int
    used_at: int


class Token(msgspec.Struct, frozen=True):
    """What a program may act with for its owner.

    Attributes:
        scopes: what it may do, as far as its owner's role may.
        used_at: seconds since the epoch, to the minute; 0 before the first use.
    """

    id: int
    name: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    used_at: int


class MadeToken(msgspec.Struct, frozen=True):
    """A token and its text, shown once."""

    token: Token
    text: str


class Override(msgspec.Struct, frozen=True):
    """An act lent in an emergency, or asked for.

    Attributes:
        asker: account of who asked.
        role: of who asked, at that time.
        action: what is lent.
        state: ``asked``, ``granted``, ``refused`` or ``ended``.
        decided_by: account of who approved or refused; empty before.
        until: seconds since the epoch; 0 before it was approved.
    """

    id: int
    asker: str
    role: str
    action: str
    reason: str
    minutes: int
    state: str
    asked_at: int
    decided_by: str
    until: int
