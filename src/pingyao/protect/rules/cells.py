"""The bytes of a column of text, and of the one that is made of it."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingyao.kernel.errors import Unsupported


class Cells:
    """A column's bytes, cell k being ``data[offsets[k]:offsets[k + 1]]``; `text_cells` makes it.

    Attributes:
        live: which cells are not null.
        out: as many blank bytes, to be written where the result has cells of the same lengths.
    """

    def __init__(self, array: pa.Array) -> None:
        self.type = array.type
        _, offsets, data = array.buffers()
        width = self._width
        ends = np.zeros(1, width) if offsets is None else np.frombuffer(offsets, width)
        ends = ends[array.offset : array.offset + len(array) + 1].astype(np.int64)
        self.offsets = ends if len(array) else np.zeros(1, np.int64)
        first, last = int(self.offsets[0]), int(self.offsets[-1])
        whole = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
        self.data = whole[first:last]
        self.offsets -= first
        self.out = np.zeros(last - first, np.uint8)
        self.live = np.ones(len(array), np.bool_)
        if array.null_count:
            self.live = array.is_valid().to_numpy(zero_copy_only=False)

    @property
    def _width(self) -> type[np.int32] | type[np.int64]:
        return np.int64 if pa.types.is_large_string(self.type) else np.int32

    def result(self, fits: NDArray[np.bool_]) -> pa.Array:
        """Returns what was written, null where nothing fits."""
        validity = None if fits.all() else pa.py_buffer(np.packbits(fits, bitorder="little"))
        offsets = pa.py_buffer(self.offsets.astype(self._width))
        buffers = [validity, offsets, pa.py_buffer(self.out)]
        return pa.Array.from_buffers(self.type, len(fits), buffers)


def text_cells(array: pa.Array) -> Cells:
    """Returns the cells of a column of strings.

    Raises:
        Unsupported: it holds something else.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        raise Unsupported(
            "protect.not_text",
            f"此处只处理文本列，此列为 {array.type}",
            "请先转为文本（数字列注意前导零）",
        )
    return Cells(array)
