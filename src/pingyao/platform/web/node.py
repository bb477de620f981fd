"""What a request needs to know of its node, and of who sits before it."""

from typing import Annotated

import msgspec
import sqlalchemy as sa
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from pingyao.kernel.errors import NotPermitted
from pingyao.platform.identity.model import Institution, Session
from pingyao.platform.identity.oidc import Provider
from pingyao.platform.policy import Actor
from pingyao.platform.web.limits import Limits

COOKIE = "__Host-pingyao"
LANGUAGES = ("zh", "en")
THEMES = ("auto", "light", "dark")


class Node(msgspec.Struct, frozen=True):
    """A node that runs.

    Attributes:
        key: what second factors are sealed with.
        hosts: the names it may be called by, in lower case; others are refused.
        version: of this program.
        limits: how often who has asked.
        oidc: the institution's own OpenID provider; None without one.
    """

    engine: sa.Engine
    key: bytes
    institution: Institution
    hosts: frozenset[str]
    version: str
    limits: Limits = msgspec.field(default_factory=Limits)
    oidc: Provider | None = None


class Seat(msgspec.Struct, frozen=True):
    """Who sits before a request, and how she likes to read.

    Attributes:
        session: None for a stranger.
        address: of the other end of the connection.
        site: the name the node was called by, without the port.
        origin: scheme, name and port it was called by.
    """

    session: Session | None
    language: str
    theme: str
    address: str
    site: str = ""
    origin: str = ""

    @property
    def signed_in(self) -> Session:
        """The session of somebody who has one.

        Raises:
            NotPermitted: nobody is signed in.
        """
        if self.session is None:
            raise NotPermitted("identity.signed_out", "尚未登录，或登录已过期", "请登录")
        return self.session

    @property
    def actor(self) -> Actor:
        """Who acts."""
        return self.signed_in.actor


MOST = 2**31 - 1
"""The greatest number a row can have."""
RowNumber = Annotated[int, PathParameter(ge=0, le=MOST)]
After = Annotated[int, QueryParameter(ge=0, le=MOST)]
AtNode = NamedDependency[Node]
InSeat = NamedDependency[Seat]
