"""Binary values of which only the beginning was read never go out as if they were whole."""

import pyarrow as pa
import pytest

from pingyao.classify.sources.limits import BINARY_BYTES
from pingyao.kernel.errors import Invalid
from pingyao.protect.model import Choice, Field, Place
from pingyao.protect.ports import BINARY_READ
from pingyao.protect.rules.apply import refuse_cut


def choice() -> Choice:
    field = Field(place=Place("", "t", "photo"), type="biometric", level=4, personal=3)
    return Choice(field=field, demands=(), technique="keep", params={}, allowed=())


def test_the_room_knows_how_much_sources_read() -> None:
    assert BINARY_READ == BINARY_BYTES


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_what_may_be_cut_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(Invalid) as caught:
        refuse_cut(pa.array([b"x", None, bytes(BINARY_READ)], kind), choice())
    assert caught.value.code == "protect.binary_cut"
    assert "protect seal" in caught.value.remedy


@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"x" * (BINARY_READ - 1), None], pa.binary()),
        pa.array([], pa.binary()),
        pa.array([None], pa.binary()),
        pa.array(["字" * BINARY_READ]),
    ],
)
def test_what_is_whole_passes(array: pa.Array) -> None:
    refuse_cut(array, choice())
