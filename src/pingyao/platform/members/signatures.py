"""HTTP Message Signatures and Content-Digest as nodes use them: one signature, one profile, no options.

A request covers method, authority, path, query and the digest of its content; a response covers its
status, the digest of its content, and the request with its signature. Whatever differs from the profile
is refused: less covered, a parameter missing or added, a second signature, a field given twice.

Cites: RFC 9421 (2.3, 2.4, 2.5, 3), RFC 9530, 2; RFC 9651. IANA's registries know neither ``sm2-sm3`` nor
``sm3``: in the national suite both are this product's names.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import http_sf
import msgspec
from http_sf import StructuredFieldError

from pingyao.kernel.errors import Invalid
from pingyao.platform.crypto.suites import Suite

LABEL = "sig"
TAG = "pingyao-member-1"
_REQUEST = tuple((n, {}) for n in ("@method", "@authority", "@path", "@query", "content-digest"))
_RESPONSE = (
    ("@status", {}),
    ("content-digest", {}),
    *((name, {"req": True}) for name, _ in _REQUEST),
    ("signature", {"req": True, "key": LABEL}),
)
_PARAMETERS = ("created", "expires", "nonce", "keyid", "alg", "tag")
_MOST_FIELD = 4096
Component = tuple[str, dict[str, Any]]
Fields = Sequence[tuple[str, str]]


class Hasher(Protocol):
    """A hash that is fed."""

    def update(self, data: bytes | bytearray, /) -> None:
        """Takes more."""
        ...

    def digest(self) -> bytes:
        """Returns the hash of all that was taken."""
        ...


class Parameters(msgspec.Struct, frozen=True):
    """What a signature says of itself.

    Attributes:
        created, expires: seconds since the epoch.
        nonce: never twice under one key.
        keyid: see `suites.key_id`.
        alg: see `suites.Suite`.
        tag: the profile and, after a colon, the USCC of the one it is meant for.
    """

    created: int
    expires: int
    nonce: str
    keyid: str
    alg: str
    tag: str


class Signed(msgspec.Struct, frozen=True):
    """A signature that was read; nothing of it is believed yet.

    Attributes:
        base: the bytes that were signed, put together from the message itself.
    """

    parameters: Parameters
    base: bytes
    signature: bytes


class Asked(msgspec.Struct, frozen=True):
    """The parts of a request that are signed.

    Attributes:
        authority: host, and port where it is not the scheme's own; lower case.
        path: as it was sent, percent-encoded.
        query: with its question mark.
        digest: the Content-Digest field.
    """

    method: str
    authority: str
    path: str
    query: str
    digest: str

    def values(self) -> dict[str, str]:
        """Returns the value of each component."""
        given = (self.method, self.authority, self.path, self.query, self.digest)
        return {name: value for (name, _), value in zip(_REQUEST, given, strict=True)}


def asked(method: str, url: str, digest: str) -> Asked:
    """Returns the signed parts of a request that is to be sent."""
    parts = urlsplit(url)
    return Asked(
        method, authority(parts.scheme, parts.netloc), parts.path or "/", f"?{parts.query}", digest
    )


def authority(scheme: str, host: str) -> str:
    """Returns a host in the form that is signed (Cites: RFC 9421, 2.2.3)."""
    return host.lower().removesuffix(":443" if scheme == "https" else ":80")


def content_digest(suite: Suite, digest: bytes) -> str:
    """Returns the Content-Digest field for a digest made with the suite's hash."""
    return http_sf.ser({suite.digest_field: digest})


def hasher(suite: Suite) -> Hasher:
    """Returns the suite's hash, to be fed while content streams."""
    return hashlib.new(suite.digest)


def read_digest(field: str) -> tuple[str, bytes]:
    """Returns algorithm and digest of a Content-Digest field that has exactly one.

    Raises:
        Invalid: it is not well formed.
    """
    held = [*_dictionary(field).items()]
    algorithm, value = held[0] if len(held) == 1 else ("", None)
    if not isinstance(value, tuple) or not isinstance(value[0], bytes) or value[1]:
        raise _malformed()
    return algorithm, value[0]


def base(
    covered: Sequence[Component], parameters: Mapping[str, Any], values: Mapping[str, str]
) -> bytes:
    """Puts together what is signed.

    Args:
        covered: the components, in order.
        parameters: of the signature, in order.
        values: of each component by its identifier as it is written, without the quotes of the plain.
    """
    lines = [f"{_written(c)}: {values[_name(c)]}" for c in covered]
    lines.append(f'"@signature-params": {_inner(covered, parameters)}')
    return "\n".join(lines).encode("ascii")


def request_base(request: Asked, parameters: Parameters) -> bytes:
    """Returns what is signed of a request."""
    return base(_REQUEST, _as_dict(parameters), request.values())


def response_base(
    status: int, digest: str, request: Asked, signature: bytes, parameters: Parameters
) -> bytes:
    """Returns what is signed of a response: itself, and the very request it answers."""
    values = {"@status": str(status), "content-digest": digest}
    values |= {f"{name};req": value for name, value in request.values().items()}
    values[f"signature;req;key={LABEL}"] = http_sf.ser(signature)
    return base(_RESPONSE, _as_dict(parameters), values)


def fields(parameters: Parameters, signature: bytes, *, response: bool = False) -> dict[str, str]:
    """Returns the two fields of a signature."""
    covered = _RESPONSE if response else _REQUEST
    return {
        "signature-input": f"{LABEL}={_inner(covered, _as_dict(parameters))}",
        "signature": http_sf.ser({LABEL: signature}),
    }


def read_request(given: Fields, method: str, target: tuple[str, str, str]) -> tuple[Signed, Asked]:
    """Reads the signature of a request.

    Args:
        given: all header fields as they came, names in lower case.
        method: as it came.
        target: authority, path and query as they came.

    Raises:
        Invalid: there is not exactly one signature of the profile.
    """
    request = Asked(method, *target, _single(given, "content-digest"))
    parameters, signature = _read(given, _REQUEST)
    try:
        return Signed(parameters, request_base(request, parameters), signature), request
    except UnicodeEncodeError:
        raise _malformed() from None


def read_response(given: Fields, status: int, request: Asked, signature: bytes) -> Signed:
    """Reads the signature of a response to a request with this signature.

    Raises:
        Invalid: there is not exactly one signature of the profile.
    """
    digest = _single(given, "content-digest")
    parameters, own = _read(given, _RESPONSE)
    try:
        return Signed(
            parameters, response_base(status, digest, request, signature, parameters), own
        )
    except UnicodeEncodeError:
        raise _malformed() from None


def is_signed(given: Fields) -> bool:
    """Tells whether a message has a signature at all."""
    return any(name in ("signature", "signature-input") for name, _ in given)


def _read(given: Fields, covered: Sequence[Component]) -> tuple[Parameters, bytes]:
    inputs = _dictionary(_single(given, "signature-input"))
    signatures = _dictionary(_single(given, "signature"))
    if [*inputs] != [LABEL] or [*signatures] != [LABEL]:
        raise _malformed()
    listed, said = inputs[LABEL] if isinstance(inputs[LABEL], tuple) else (None, {})
    value, more = signatures[LABEL] if isinstance(signatures[LABEL], tuple) else (None, {})
    if not isinstance(listed, list) or [*listed] != [*covered] or [*said] != [*_PARAMETERS]:
        raise _malformed()
    if not isinstance(value, bytes) or more:
        raise _malformed()
    try:
        return msgspec.convert(said, Parameters), value
    except msgspec.ValidationError:
        raise _malformed() from None


def _dictionary(field: str) -> dict[str, Any]:
    def twice(key: str, _: str) -> None:
        raise _malformed()

    try:
        read: Any = http_sf.parse(field.encode("ascii"), "", "dictionary", twice)
    except (StructuredFieldError, UnicodeEncodeError):
        raise _malformed() from None
    return read


def _single(given: Fields, name: str) -> str:
    found = [value for n, value in given if n == name]
    if len(found) != 1 or len(found[0]) > _MOST_FIELD:
        raise _malformed()
    return found[0].strip()


def _as_dict(parameters: Parameters) -> dict[str, Any]:
    return {name: getattr(parameters, name) for name in _PARAMETERS}


def _inner(covered: Sequence[Component], parameters: Mapping[str, Any]) -> str:
    return http_sf.ser([([*covered], dict(parameters))])


def _written(component: Component) -> str:
    return http_sf.ser(component)


def _name(component: Component) -> str:
    name, parameters = component
    flags = (k if v is True else f"{k}={v}" for k, v in parameters.items())
    return ";".join((name, *flags))


def _malformed() -> Invalid:
    return Invalid(
        "members.bad_signature_fields",
        "请求的签名字段不合规定：须恰有一个签名，覆盖规定的各项",
        "请核对双方软件的版本；中间的代理不得改动或重复签名字段",
    )
