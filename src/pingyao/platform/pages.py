"""Pages that stand alone: charts, scripts allowed by their hash, data that cannot end its element."""

import base64
import hashlib
from importlib.resources import files

import msgspec


def echarts() -> str:
    """Returns the charts library."""
    return files("pingyao.platform").joinpath("echarts", "echarts.min.js").read_text("utf-8")


def content_policy(*scripts: str) -> str:
    """Returns a content security policy: nothing from the network, these scripts and no other.

    Charts set styles on elements, which a hash cannot cover.
    """
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        f"form-action 'none'; script-src {' '.join(map(_hash, scripts))}"
    )


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()
    return f"'sha256-{digest}'"


def data_island(value: object) -> str:
    """Returns JSON that cannot end its own script element."""
    text = msgspec.json.encode(value).decode()
    for mark, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(mark, escaped)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
