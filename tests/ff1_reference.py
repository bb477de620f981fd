"""FF1 as the standard's text says it, one value at a time, on plain integers: to compare with.

Cites: NIST SP 800-38G, Algorithms 1, 3, 6, 7 and 8.
"""

from collections.abc import Callable
from math import ceil, log2

Block = Callable[[bytes], bytes]


def _prf(encrypt: Block, data: bytes) -> bytes:
    state = bytes(16)
    for i in range(0, len(data), 16):
        state = encrypt(bytes(x ^ y for x, y in zip(state, data[i : i + 16], strict=True)))
    return state


def _num(digits: list[int], radix: int) -> int:
    value = 0
    for digit in digits:
        value = value * radix + digit
    return value


def _str(value: int, radix: int, length: int) -> list[int]:
    digits = [0] * length
    for i in range(length - 1, -1, -1):
        value, digits[i] = divmod(value, radix)
    return digits


def ff1(
    encrypt: Block, radix: int, tweak: bytes, text: list[int], *, decrypt: bool = False
) -> list[int]:
    n, t = len(text), len(tweak)
    u = n // 2
    v = n - u
    a, b = text[:u], text[u:]
    exact = v * log2(radix)
    assert abs(exact - round(exact)) > 1e-9 or radix & (radix - 1) == 0
    width = ceil(ceil(exact) / 8)
    d = 4 * ceil(width / 4) + 4
    p = bytes([1, 2, 1]) + radix.to_bytes(3, "big") + bytes([10, u % 256])
    p += n.to_bytes(4, "big") + t.to_bytes(4, "big")
    for i in reversed(range(10)) if decrypt else range(10):
        read = a if decrypt else b
        q = tweak + bytes((-t - width - 1) % 16) + bytes([i])
        q += _num(read, radix).to_bytes(width, "big")
        r = _prf(encrypt, p + q)
        s = r
        for j in range(1, ceil(d / 16)):
            s += encrypt(bytes(x ^ y for x, y in zip(r, j.to_bytes(16, "big"), strict=True)))
        y = int.from_bytes(s[:d], "big")
        m = u if i % 2 == 0 else v
        if decrypt:
            c = _str((_num(b, radix) - y) % radix**m, radix, m)
            b, a = a, c
        else:
            c = _str((_num(a, radix) + y) % radix**m, radix, m)
            a, b = b, c
    return a + b
