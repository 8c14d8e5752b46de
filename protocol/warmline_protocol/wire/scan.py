"""Checks the structure of a msgpack payload before anything is built from it.

A few bytes can claim millions of elements, and a megabyte can hold a million empty maps, each of which takes far more
memory as a Python object. So the headers are walked first: one step for each value, and no step for the bytes of a
string. What passes is one map with unique text keys, nested no deeper than frames are, with no more values than
allowed, and none of the types that frames do not use (bytes, extensions, timestamps).
"""

from __future__ import annotations

MAX_DEPTH = 4  # a frame, its list, that list's entries, and one to spare
MAX_ENTRIES = 32  # of a map: no frame has as many fields
MAX_KEY_BYTES = 64

# how many bytes of a scalar follow its first byte
_SCALAR_BYTES = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8,
    0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
}  # fmt: skip
# how many bytes of a length follow
_STRING_LENGTH_BYTES = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAY_LENGTH_BYTES = {0xDC: 2, 0xDD: 4}
_MAP_LENGTH_BYTES = {0xDE: 2, 0xDF: 4}


class ScanError(ValueError):
    """A payload that is not what a frame may be."""


class _Open:
    """A map or a list whose values are being walked."""

    __slots__ = ("keys", "n_left")

    def __init__(self, n_left: int, keys: set[bytes] | None) -> None:
        self.n_left = n_left  # values, of a map keys too
        self.keys = keys  # None: a list

    def take(self, kind: str, size: int, start: bytes) -> None:
        """Takes a value in, of which the first MAX_KEY_BYTES are given; of a map every other one is a key."""
        if self.keys is not None and self.n_left % 2 == 0:
            if kind != "string" or size > MAX_KEY_BYTES:
                raise ScanError(f"a key that is not text of at most {MAX_KEY_BYTES} bytes")
            if start in self.keys:
                raise ScanError("a key that is there twice")
            self.keys.add(start)
        self.n_left -= 1


def scan(payload: bytes, max_values: int) -> int:
    """The number of values in a payload, keys included.

    Cost: one step for each value, at most `max_values`; memory for the keys of MAX_DEPTH maps.

    Raises: ScanError, when it is not one map of plain values within the limits.
    """
    at, end, n_values = 0, len(payload), 0
    path: list[_Open] = []
    while n_values == 0 or path:
        if at >= end:
            raise ScanError("it is cut off")
        n_values += 1
        if n_values > max_values:
            raise ScanError(f"more than {max_values} values")
        kind, size, at = _header(payload, at)
        if path:
            path[-1].take(kind, size, payload[at : at + min(size, MAX_KEY_BYTES)])
        elif kind != "map":
            raise ScanError("expected a map")
        if size > end - at:  # each value of a list or map takes a byte at least
            raise ScanError("it is cut off")
        if kind in ("map", "list"):
            path.append(_opened(kind, size, len(path)))
        else:
            at += size
        while path and path[-1].n_left == 0:
            path.pop()
    if at != end:
        raise ScanError("bytes behind the value")
    return n_values


def _opened(kind: str, size: int, depth: int) -> _Open:
    if kind == "map" and size > 2 * MAX_ENTRIES:
        raise ScanError(f"a map of more than {MAX_ENTRIES} entries")
    if depth == MAX_DEPTH:
        raise ScanError(f"values nested more than {MAX_DEPTH} deep")
    return _Open(size, set() if kind == "map" else None)


def _header(payload: bytes, at: int) -> tuple[str, int, int]:
    """Kind of a value, its size (bytes of a scalar or string, values in a list or map), and where that begins."""
    code, at = payload[at], at + 1
    if code <= 0x7F or code >= 0xE0:
        return "scalar", 0, at
    if code <= 0x8F:
        return "map", 2 * (code & 0x0F), at
    if code <= 0x9F:
        return "list", code & 0x0F, at
    if code <= 0xBF:
        return "string", code & 0x1F, at
    if (n_bytes := _SCALAR_BYTES.get(code)) is not None:
        return "scalar", n_bytes, at
    for kind, lengths in (
        ("string", _STRING_LENGTH_BYTES),
        ("list", _ARRAY_LENGTH_BYTES),
        ("map", _MAP_LENGTH_BYTES),
    ):
        if (n_bytes := lengths.get(code)) is not None:
            if at + n_bytes > len(payload):
                raise ScanError("it is cut off")
            size = int.from_bytes(payload[at : at + n_bytes], "big")
            return kind, 2 * size if kind == "map" else size, at + n_bytes
    raise ScanError("bytes, extensions and timestamps are not used in frames")
