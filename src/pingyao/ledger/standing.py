"""How far the witnesses of a policy are, as they show themselves."""

from concurrent.futures import ThreadPoolExecutor

import msgspec

from pingyao.kernel.errors import PingyaoError, Unavailable
from pingyao.ledger.formats.tlog_witness import origin_hash
from pingyao.ledger.model import Policy, VerifierKey
from pingyao.ledger.remote import Remote
from pingyao.ledger.views import View, read_view


class Standing(msgspec.Struct, frozen=True):
    """How far a witness is, as it shows itself."""

    url: str
    view: View | None
    failure: PingyaoError | None = None


def standings(policy: Policy, origin: str, *, seconds: float = 5.0) -> list[Standing]:
    """Asks every witness of a policy for the head it knows, side by side."""
    keys = by_url(policy)
    logs = [k for k in policy.logs if k.name == origin]

    def ask(url: str) -> Standing:
        remote = Remote(url, seconds=seconds)
        try:
            response = remote.get(f"{origin_hash(origin)}/checkpoint")
            if response.status == 404:
                return Standing(url, None)
            if response.status != 200:
                raise Unavailable("ledger.witness_refuses", f"答复 {response.status}", "")
            return Standing(url, read_view(url, response.body.decode(), logs, keys[url]))
        except PingyaoError as error:
            return Standing(url, None, error)
        except UnicodeDecodeError:
            return Standing(url, None, Unavailable("ledger.witness_refuses", "答复不成文字", ""))
        finally:
            remote.close()

    if not keys:
        return []
    with ThreadPoolExecutor(len(keys)) as pool:
        return list(pool.map(ask, keys))


def by_url(policy: Policy) -> dict[str, list[VerifierKey]]:
    """Returns who is asked where: several keys of one witness come with one request."""
    keys: dict[str, list[VerifierKey]] = {}
    for name, key in policy.witnesses.items():
        if url := policy.urls.get(name):
            keys.setdefault(url, []).append(key)
    return keys
