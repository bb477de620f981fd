"""The description of the API, completed: how one signs in, and how every operation refuses."""

from typing import Any

from pingyao.platform.web.node import COOKIE

_METHODS = ("get", "post", "put", "delete", "patch")
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "code", "remedy"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "remedy": {"type": "string"},
    },
}
_REFUSALS = {
    400: "请求有误 · Not understood",
    401: "尚未登录或令牌无效 · Not signed in",
    403: "未获授权 · Not permitted",
    404: "没有此对象 · Not found",
    409: "状态冲突 · Conflict",
    413: "请求过大 · Too large",
    422: "输入有误 · Invalid",
    429: "过于频繁，见 Retry-After · Too often, see Retry-After",
    503: "暂不可用 · Not available now",
}
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "本人在控制台所建的令牌"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
    "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!#-~]{1,64}$"},
    "description": "同一键 24 小时内只办理一次，重复请求得到同一答复",
}


def complete(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the description with what the framework does not know of."""
    components = schema.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    refused = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    components["responses"] = {
        f"r{status}": {"description": said, "content": refused}
        for status, said in _REFUSALS.items()
    }
    components["responses"]["r429"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    for path, methods in schema["paths"].items():
        for method in _METHODS:
            if method in methods:
                _complete(methods[method], method, signs_in=path.endswith("/session"))
    return schema


def _complete(operation: dict[str, Any], method: str, *, signs_in: bool) -> None:
    for status in _REFUSALS:
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/r{status}"}
    by_cookie = {"session": []} if method == "get" else {"session": [], "csrf": []}
    operation["security"] = [{}] if signs_in and method == "post" else [{"token": []}, by_cookie]
    if method == "post" and not signs_in:
        operation.setdefault("parameters", []).append(_KEY)
