"""What administrators do with members, with this node's keys at hand; for console, API and commands."""

from collections.abc import Generator
from contextlib import contextmanager

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import NotYet
from pingyao.platform.members import inviting, joining, register
from pingyao.platform.members.client import Answer, Client
from pingyao.platform.members.model import Invited, Member
from pingyao.platform.members.register import Told
from pingyao.platform.members.ring import Ring
from pingyao.platform.policy import Actor


class Desk(msgspec.Struct, frozen=True):
    """A node's register and keys.

    Attributes:
        ring: None on a node without keys of its own.
        us: its USCC.
        certificates: a file of certificates trusted for TLS, PEM.
    """

    engine: sa.Engine
    ring: Ring | None
    us: str
    certificates: str | None = None

    def invite(self, actor: Actor, uscc: str, name: str, suite: str, hours: int) -> Invited:
        """See `inviting.invite`."""
        return inviting.invite(self.engine, self._ring(), actor, uscc, name, suite, hours)

    def join(self, actor: Actor, text: str) -> Member:
        """See `joining.redeem`."""
        with self._client() as client:
            return joining.redeem(self.engine, self._ring(), actor, text, client)

    def rotate(self, actor: Actor, *, anew: bool = False) -> list[Told]:
        """See `register.rotate`."""
        with self._client() as client:
            return register.rotate(self.engine, self._ring(), actor, client, anew=anew)

    def send(self, number: int, method: str, path: str, body: bytes = b"") -> Answer:
        """Sends one signed request; see `client.Client.send`."""
        with self._client() as client:
            return client.send(number, method, path, body)

    def _ring(self) -> Ring:
        if self.ring is None:
            raise NotYet("members.no_keys", "本节点尚无成员密钥", "请重新启动节点")
        return self.ring

    @contextmanager
    def _client(self) -> Generator[Client]:
        client = Client(self.engine, self._ring(), self.us, self.certificates)
        try:
            yield client
        finally:
            client.close()
