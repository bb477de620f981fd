"""Where a node may be sent by an address it has from others: never to itself or what is only near it.

Addresses in a roster are what members say of themselves. Banks reach each other on private lines, so that
private networks must be let pass; what keeps a request from doing harm there is TLS, which asks for a
certificate of the very name before a byte of the request leaves.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from pingyao.kernel.errors import NotPermitted
from pingyao.platform.members.codes import NEAR


def check(address: str, ours: str) -> None:
    """Lets an address of a roster pass, by all the numbers its name has now.

    Args:
        address: of the other node.
        ours: of this node; where it is on loopback, as in a trial, others may be too.

    Raises:
        NotPermitted: loopback, link-local (where clouds keep secrets), multicast or unspecified.
    """
    parts = urlsplit(address)
    if not parts.hostname or (urlsplit(ours).hostname or "") in NEAR:
        return
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError:  # the request itself will say so
        return
    for *_, where in found:
        number = ipaddress.ip_address(str(where[0]).partition("%")[0])
        number = getattr(number, "ipv4_mapped", None) or number
        near = number.is_loopback or number.is_link_local
        if near or number.is_multicast or number.is_unspecified:
            raise NotPermitted(
                "members.bad_reach",
                f"名册中该成员的地址指向 {number}，本节点不向那里发送",
                "请该成员改正其登记的节点地址",
            )
