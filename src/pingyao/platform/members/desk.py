"""What administrators do with members, with this node's keys at hand; for console, API and commands."""

from collections.abc import Generator
from contextlib import contextmanager

import msgspec
import sqlalchemy as sa

from pingyao.kernel.errors import NotYet
from pingyao.platform.members import fetching, inviting, joining, pinging, revoking, rotating
from pingyao.platform.members.client import Answer, Client
from pingyao.platform.members.fetching import Fetched
from pingyao.platform.members.model import Invited, Member
from pingyao.platform.members.pinging import Pong
from pingyao.platform.members.ring import Ring
from pingyao.platform.members.rotating import Told
from pingyao.platform.policy import Actor, require


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
        """See `rotating.rotate`; then asks for the roster that has the new keys."""
        with self._client() as client:
            told = rotating.rotate(self.engine, self._ring(), actor, client, anew=anew)
            fetching.fetch(self.engine, client, actor.name)
        return told

    def revoke_own(self, actor: Actor, key: str, why: str, since: int | None = None) -> list[Told]:
        """See `revoking.revoke_own`; then asks for the roster that has the new keys."""
        with self._client() as client:
            told = revoking.revoke_own(self.engine, self._ring(), actor, client, key, why, since)
            fetching.fetch(self.engine, client, actor.name)
        return told

    def fetch(self, actor: Actor) -> list[Fetched]:
        """See `fetching.fetch`."""
        require(actor, "members.fetch")
        return self.keep_up(actor.name)

    def keep_up(self, by: str) -> list[Fetched]:
        """Does as ``fetch`` for the node's own periodic work."""
        with self._client() as client:
            return fetching.fetch(self.engine, client, by)

    def ping(self, actor: Actor, number: int) -> Pong:
        """See `pinging.ping`."""
        with self._client() as client:
            return pinging.ping(self.engine, client, actor, number)

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
