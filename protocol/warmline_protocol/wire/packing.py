"""Frames to bytes and back.

A payload is a msgpack map whose `op` names a frame's class. A peer may be hostile: a payload's structure is checked
before any of it is built, and each field's type and range before the frame is used. An error names the first problem
only, and does not repeat what was sent.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection
from typing import Any, cast, get_args, get_origin

import attrs
import cattrs
import msgpack
from cattrs.preconf.msgpack import make_converter

from .error import WireError, shortened
from .frames import CLASSES, TO_ENGINE_CLASSES, Frame
from .frames_to_engine import Hello, TextEdit
from .frames_to_server import ContextItem, DocumentStatus, Failure, Item
from .limits import (
    INT64,
    LENGTHS,
    MAX_FRAME_BYTES,
    MAX_HELLO_BYTES,
    MAX_HELLO_VALUES,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_VALUES,
    RANGES,
    WORDS,
)  # fmt: skip
from .scan import ScanError, scan

LENGTH = struct.Struct("<I")  # before each payload


def pack(frame: Frame) -> bytes:
    """The bytes of a frame, length included. The message of a Failure is shortened.

    Raises: WireError `frame_too_long`, when a peer would refuse it.
    """
    if isinstance(frame, Failure) and len(frame.message) > MAX_MESSAGE:
        frame = attrs.evolve(frame, message=shortened(frame.message, MAX_MESSAGE))
    body = cast(dict[str, Any], _CONVERTER.unstructure(frame))
    payload = cast(bytes, msgpack.packb({"op": type(frame).__name__, **body}))
    if len(payload) > MAX_FRAME_BYTES:
        raise WireError(
            "frame_too_long", f"a frame of {len(payload)} bytes; at most {MAX_FRAME_BYTES} are sent"
        )
    if len(payload) > MAX_VALUES:  # each value takes a byte at least
        try:
            scan(payload, MAX_VALUES)
        except ScanError as error:
            raise WireError("frame_too_long", f"{type(frame).__name__}: {error}") from None
    return LENGTH.pack(len(payload)) + payload


def unpack(payload: bytes, expected: Collection[str] = CLASSES) -> Frame:
    """The frame in a payload (without its length), one of the expected kinds.

    Raises: WireError `malformed_frame`, `unknown_op`, `unexpected_frame` or `invalid_frame`, saying where.
    """
    fields = _fields(payload, MAX_VALUES)
    op = fields.pop("op", None)
    cls = CLASSES.get(op) if isinstance(op, str) else None
    if cls is None or not isinstance(op, str):
        raise WireError("unknown_op", f"known are {', '.join(sorted(expected))}")
    named = fields.get("id"), fields.get("document")
    request_id = named[0] if type(named[0]) is int and _within(named[0], INT64) else None
    document = named[1] if isinstance(named[1], str) and len(named[1]) <= MAX_NAME else ""
    if op not in expected:
        raise WireError("unexpected_frame", f"{op} is not expected", None, document, op)
    problem = ""
    try:
        frame = cast(Frame, _CONVERTER.structure(fields, cls))
    except Exception:  # whatever cattrs raises: a frame we refuse
        frame, problem = None, _first_problem(cls, fields)
    if frame is not None and cls in TO_ENGINE_CLASSES:
        problem = _out_of_range(frame)
    if frame is None or problem:
        raise WireError("invalid_frame", f"{op}: {problem}", request_id, document, op)
    return frame


def unpack_hello(payload: bytes) -> Hello:
    """The Hello in a payload; nothing else is read from a peer that has not shown its token.

    Raises: WireError `malformed_frame`, `no_hello` or `invalid_frame`.
    """
    if b"Hello" not in payload[:MAX_HELLO_BYTES]:
        raise WireError("no_hello", "the first frame has to be Hello")
    fields = _fields(payload, MAX_HELLO_VALUES)
    if fields.pop("op", None) != "Hello":
        raise WireError("no_hello", "the first frame has to be Hello")
    version, token, client = (
        fields.pop("version", None),
        *(fields.pop(name, "") for name in ("token", "client")),
    )
    if type(version) is not int or not (isinstance(token, str) and isinstance(client, str)):
        raise WireError("invalid_frame", "Hello: expected version, token and client")
    if fields or max(len(token), len(client)) > LENGTHS["token"]:
        raise WireError(
            "invalid_frame", "Hello: expected version, token and client, of bounded length"
        )
    return Hello(version, token, client)


def _fields(payload: bytes, max_values: int) -> dict[str, Any]:
    try:
        scan(payload, max_values)
        return cast(dict[str, Any], msgpack.unpackb(payload, strict_map_key=True))
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        # msgpack's own messages may repeat what was sent
        reason = str(error) if isinstance(error, ScanError) else type(error).__name__
        raise WireError("malformed_frame", f"not one msgpack map: {reason}") from None


def _first_problem(cls: type[Any], fields: dict[str, Any]) -> str:
    """The first field of a frame that has a wrong type, and what was expected."""
    known = attrs.fields_dict(cls)
    for name, field in known.items():
        if name not in fields:
            if field.default is attrs.NOTHING:
                return f"{name} is missing"
            continue
        try:
            _CONVERTER.structure(fields[name], cast(Any, field.type))
        except TypeError as error:
            return f"{name}: {error}"
        except Exception:  # of an entry of a list
            return f"{name}: not of the expected type"
    return "a field that is not known" if fields.keys() - known.keys() else "cannot be read"


def _out_of_range(frame: object) -> str:
    """The first field that is too long or out of its range, and its limit; empty if there is none."""
    for field in attrs.fields(cast(Any, type(frame))):
        value = cast(object, getattr(frame, field.name))
        for one in cast(tuple[object, ...], value) if isinstance(value, tuple) else (value,):
            is_edit = isinstance(one, TextEdit)
            problem = _out_of_range(one) if is_edit else _outside(field.name, one)
            if problem:
                return problem
    return ""


def _outside(name: str, value: object) -> str:
    if name in RANGES and isinstance(value, int) and not _within(value, RANGES[name]):
        return f"{name}: expected {RANGES[name][0]} to {RANGES[name][1]}"
    if name in LENGTHS and isinstance(value, str) and len(value) > LENGTHS[name]:
        return f"{name}: at most {LENGTHS[name]} characters are taken"
    if name in WORDS and value not in WORDS[name]:
        return f"{name}: expected {', '.join(WORDS[name])}"
    return ""


def _within(value: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _strict(kind: type) -> Any:
    def structure(value: object, _: type) -> object:
        is_int = isinstance(value, int) and not isinstance(value, bool)
        if not (type(value) is kind or (kind is float and is_int)):
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
        if kind is float and not math.isfinite(cast(float, value)):
            raise TypeError("expected a finite number")
        return value

    return structure


def _make_converter() -> cattrs.Converter:
    # without detailed validation the first error ends it: a frame may have as many wrong values as it has bytes
    converter = make_converter(forbid_extra_keys=True, detailed_validation=False)
    # cattrs would turn 3 into "3" and "no" into True; a wrong type is an error here
    for kind in (int, float, str, bool):
        converter.register_structure_hook(kind, _strict(kind))
    # it would also take the characters of a text, or the keys of a map, for the entries of a list
    converter.register_structure_hook_factory(
        lambda kind: get_origin(kind) is tuple, lambda kind: _list_of(converter, get_args(kind)[0])
    )
    return converter


def _list_of(converter: cattrs.Converter, entry: type[Any]) -> Any:
    def structure(value: object, _: type) -> object:
        if type(value) is not list:
            raise TypeError(f"expected a list, got {type(value).__name__}")
        entries = cast(list[object], value)
        return tuple(cast(object, converter.structure(one, entry)) for one in entries)

    return structure


for _cls in (*CLASSES.values(), TextEdit, Item, ContextItem, DocumentStatus):
    attrs.resolve_types(_cls)
_CONVERTER = _make_converter()
