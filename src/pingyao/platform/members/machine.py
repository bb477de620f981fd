"""The routes other nodes call: who we are, joining, a ping, keys, the roster. No cookie opens them."""

from typing import Annotated, Any

from litestar import Request, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from pingyao.kernel.errors import NotYet
from pingyao.platform.members import inviting, pinging, proofs, publishing, rotating
from pingyao.platform.members.documents import SignedIdentity
from pingyao.platform.members.door import MEMBER, Door, FromSender, sender_of
from pingyao.platform.members.model import Sender
from pingyao.platform.members.pinging import Ping, Pong
from pingyao.platform.members.proofs import Joined, Joining
from pingyao.platform.members.publishing import Published
from pingyao.platform.members.ring import Ring
from pingyao.platform.members.rotating import Revocation, Rotation, Taken
from pingyao.platform.web.admission import PUBLIC
from pingyao.platform.web.node import AtNode

PREFIX = "/member/v1"
WithRing = NamedDependency[Ring]
SuiteName = Annotated[str, QueryParameter(max_length=20)]
Digest = Annotated[str, QueryParameter(max_length=64)]


@get("/identity", action=PUBLIC, sync_to_thread=True)
def identity(node: AtNode, ring: WithRing, suite: SuiteName = "international") -> SignedIdentity:
    """Tells who this node is and its newest keys, signed by them."""
    with node.engine.connect() as db:
        return proofs.own_identity(db, ring, suite)[0]


@post(
    "/join",
    action=PUBLIC,
    signs_in=True,
    status_code=HTTP_200_OK,
    sync_to_thread=True,
)
def join(data: JSONBody[Joining], node: AtNode, ring: WithRing) -> Joined:
    """Takes in who redeems an invitation."""
    return inviting.receive(node.engine, ring, data)


@post("/ping", action=MEMBER, status_code=HTTP_200_OK, sync_to_thread=True)
def ping(data: JSONBody[Ping], sender: FromSender, node: AtNode) -> Pong:
    """Answers a member."""
    return pinging.answer(node.engine, sender, data)


@post("/keys", action=MEMBER, status_code=HTTP_200_OK, sync_to_thread=True)
def keys(data: JSONBody[Rotation], sender: FromSender, node: AtNode, ring: WithRing) -> Joined:
    """Takes a member's new keys."""
    return rotating.take_keys(node.engine, ring, sender, data)


@post("/keys/revoked", action=MEMBER, status_code=HTTP_200_OK, sync_to_thread=True)
def revoked(data: JSONBody[Revocation], sender: FromSender, node: AtNode) -> Taken:
    """Takes that a member has revoked keys of its own."""
    return rotating.take_revocation(node.engine, sender, data)


@get("/roster", action=MEMBER, sync_to_thread=True)
def roster(sender: FromSender, node: AtNode, ring: WithRing, have: Digest = "") -> Published:
    """Gives a member the roster, where it has not the newest."""
    return publishing.serve(node.engine, ring, sender, have)


def router_of(ring: Ring | None, *more: HTTPRouteHandler | Router) -> Router:
    """Returns the routes for nodes, those of the rooms among them, behind one door."""

    def held() -> Ring:
        if ring is None:
            raise NotYet("members.no_keys", "本节点尚无成员密钥", "请重新启动节点")
        return ring

    def sender(request: Request[Any, Any, Any]) -> Sender:
        return sender_of(request.scope)

    return Router(
        PREFIX,
        route_handlers=[identity, join, ping, keys, revoked, roster, *more],
        middleware=[Door(ring)],
        dependencies={
            "ring": Provide(held, sync_to_thread=False),
            "sender": Provide(sender, sync_to_thread=False),
        },
        include_in_schema=False,
        signature_types=[Ring, Sender],
    )
