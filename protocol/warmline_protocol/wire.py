"""The frames that the language server and the engine exchange, and how they travel.

A frame is a `u32` little-endian byte length and then a msgpack map whose `op` names one of the
classes below. Offsets count code points. The server imports this module too, so it imports msgpack,
attrs and cattrs, `wire_scan`, and nothing else.

A peer may be hostile: a payload's structure is checked before any of it is built, each field's type and range before
the frame is used, and an error names the first problem only, without repeating what was sent.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection
from typing import Any, Protocol, cast, get_args, get_origin

import attrs
import cattrs
import msgpack
from cattrs.preconf.msgpack import make_converter

from .wire_scan import ScanError, scan

PROTOCOL_VERSION = 7
MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_VALUES = 100_000  # in one frame, keys included: an Edit of 14,000 edits
MAX_HELLO_BYTES = 4096  # of a peer that has not shown its token yet
MAX_HELLO_VALUES = 16
MAX_MESSAGE = 2000  # characters of a Failure
MAX_TEXT = 4_000_000  # code points of a document
MAX_NAME = 32_768  # code points of a document's name or a path
MAX_VIRTUAL_TEXT = 65_536
MAX_TOKENS = 4096  # of one completion that is asked for; the engine makes fewer
MAX_ALTERNATIVES = 64
MAX_LINES = 10_000
MAX_DEADLINE_MS = 86_400_000
ALTERNATIVES_BY = ("branching", "sampling", "mirostat")
CONTRASTS = ("off", "difference", "ratio")

_LENGTH = struct.Struct("<I")
_MAX_SHOWN = 200  # characters of an error
_INT64 = (-(2**63), 2**63 - 1)


class WireError(Exception):
    """A frame that cannot be taken; `code` is stable, the text says what was expected.

    `request_id` and `document` are those of the frame, as far as they could be read: who asked can be answered. `op`
    is the frame's kind, where it is known.
    """

    def __init__(
        self,
        code: str,
        message: str,
        request_id: int | None = None,
        document: str = "",
        op: str = "",
    ) -> None:
        super().__init__(_shortened(message, _MAX_SHOWN))
        self.code = code
        self.request_id = request_id
        self.document = document
        self.op = op


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


@attrs.frozen
class Hello:
    """The first frame of a connection; anything else before it closes the connection."""

    version: int
    token: str = ""  # proof on TCP, empty on a Unix socket
    client: str = ""  # who connects, for the log


@attrs.frozen
class Open:
    """A document's whole text; replaces what the engine knew of it."""

    document: str
    language: str
    version: int
    text: str
    cursor: int | None = None  # offset, where the client told it
    root: str = ""  # of the workspace whose other files may be shown to the model; empty: none may
    path: str = ""  # below the root
    excluded: tuple[str, ...] = ()  # globs of files below the root that stay unread


@attrs.frozen
class TextEdit:
    """Replace the code points [start, end) by `text`."""

    start: int
    end: int
    text: str


@attrs.frozen
class Edit:
    """Edits applied one after the other, each to the text the one before it left."""

    document: str
    version: int
    edits: tuple[TextEdit, ...]


@attrs.frozen
class Close:
    document: str


@attrs.frozen
class MoveCursor:
    document: str
    version: int
    offset: int


@attrs.frozen
class FilesChanged:
    """Files below a root that were changed, made or deleted on disk; none named: any of them."""

    root: str
    paths: tuple[str, ...]


@attrs.frozen
class AskContext:
    """Answered by Context."""

    id: int
    document: str


@attrs.frozen
class Complete:
    """Ask for completions at an offset of one version; answered once by Completion or Failure."""

    id: int
    document: str
    version: int
    offset: int
    virtual_text: str = ""  # text taken as typed at the offset; items continue behind it
    n_replaced: int = 0  # characters behind the offset that `virtual_text` takes the place of
    max_tokens: int = 64
    multi_line: bool = True
    n_alternatives: int = 1
    deadline_ms: int | None = None  # answer with what there is after this long
    shows_unsure: bool = True  # else what the model takes to be unlikely is left out
    alternatives_by: str = "branching"  # or drawn at random, by "sampling" or "mirostat"
    contrast: str = "off"  # what is said without other files taken off, as "difference" or "ratio"
    force_base: bool = False  # of a pair of models by the base model, however long it takes
    max_lines: int = MAX_LINES
    # whether completions are wanted there; where they are not, the answer is empty
    inside_comments: bool = True
    inside_strings: bool = True


@attrs.frozen
class Cancel:
    """Give up the request `id`; it is still answered, with stop `cancelled` and no items."""

    id: int


@attrs.frozen
class AskStatus:
    """Answered by Status."""

    id: int


@attrs.frozen
class Quit:
    """End the engine, for all its clients: who still needs one starts it again."""


@attrs.frozen
class Welcome:
    """The answer to Hello: who answers."""

    version: int
    engine: str  # the package's version
    pid: int


@attrs.frozen
class ModelReady:
    """A model is loaded; sent once to every connection."""

    name: str
    fingerprint: str
    languages: tuple[str, ...]  # empty: its card names none
    fill_in_middle: bool
    max_context: int
    device: str
    dtype: str
    small_name: str = ""  # of the model that works with it


@attrs.frozen
class Progress:
    """How far a long job is; `fraction` is None where it cannot be known."""

    stage: str
    fraction: float | None


@attrs.frozen
class Encoded:
    """An edit's tokens are in the cache: what it cost and how the sequence stands."""

    document: str
    version: int
    n_encoded: int
    n_tokens: int
    n_fresh: int
    elapsed_ms: float


@attrs.frozen
class Item:
    """A text to suggest. It fits the document: the server inserts it as it is.

    `excluded` are the starts and ends, in turn, of spans [start, end) where `inside_comments` or `inside_strings` of
    the request allow no completion: while the user has typed up to a place in one, the rest is not suggested.
    """

    text: str
    mean_logprob: float
    excluded: tuple[int, ...] = ()


@attrs.frozen
class Completion:
    """The answer to Complete. `stop` is one of STOP_REASONS."""

    id: int
    items: tuple[Item, ...]
    stop: str
    n_tokens: int  # in the sequence's context
    n_fresh: int
    n_encoded: int  # encoded for this request before the first generated token
    n_generated: int
    elapsed_ms: float  # from the frame's arrival
    first_token_ms: float
    is_provisional: bool = False  # by a pair's small model; the base model may know better
    generated_text: str = ""  # of the first answer, before it was fitted to the document


@attrs.frozen
class ContextItem:
    """A piece of another file that the model is shown. Units: line from 0."""

    path: str
    line: int
    name: str
    why: str
    text: str
    n_tokens: int


@attrs.frozen
class Context:
    """What a document's completions are made of: its own tokens, and pieces of other files, the nearest last.

    `state` is `off`, `looking` while more may be found, or `ready`.
    """

    id: int
    state: str
    n_tokens: int
    n_fresh: int
    items: tuple[ContextItem, ...]


@attrs.frozen
class Status:
    id: int
    state: str  # loading | ready | failed
    message: str
    model: str
    documents: tuple[DocumentStatus, ...]
    cache_bytes: int
    cache_budget_bytes: int


@attrs.frozen
class DocumentStatus:
    document: str
    n_tokens: int
    n_fresh: int
    n_pending: int


@attrs.frozen
class Failure:
    """A typed error; `id` is None where the frame that caused it had none."""

    id: int | None
    code: str
    message: str
    document: str = ""


STOP_REASONS = (
    "end",  # the model ended the middle
    "line",
    "block",
    "suffix",  # what follows the cursor was reached
    "repeat",  # it said again what it had said, or what stands above or below
    "syntax",  # unasked, nothing that was tried leaves the syntax whole
    "unsure",  # unasked, what followed is too unlikely to be shown
    "tokens",
    "deadline",
    "cancelled",
    "in_comment",  # the request wants no completion there
    "in_string",
)

ToEngine = (
    Hello | Open | Edit | Close | MoveCursor | FilesChanged | Complete | Cancel | AskContext
    | AskStatus | Quit
)  # fmt: skip
ToServer = Welcome | ModelReady | Progress | Encoded | Completion | Context | Status | Failure
Frame = ToEngine | ToServer

_TO_ENGINE: tuple[type[Any], ...] = (
    *(Hello, Open, Edit, Close, MoveCursor, FilesChanged, Complete, Cancel, AskContext),
    *(AskStatus, Quit),
)
_TO_SERVER: tuple[type[Any], ...] = (
    *(Welcome, ModelReady, Progress, Encoded, Completion, Context, Status, Failure),
)
_CLASSES: dict[str, type[Any]] = {cls.__name__: cls for cls in (*_TO_ENGINE, *_TO_SERVER)}
TO_ENGINE = frozenset(cls.__name__ for cls in _TO_ENGINE)
TO_SERVER = frozenset(cls.__name__ for cls in _TO_SERVER)

# what the fields of frames to the engine may be: whole numbers between two bounds, text of at most so many code
# points, or one of several words. Of a list each entry.
_RANGES: dict[str, tuple[int, int]] = {
    "id": _INT64,
    "version": _INT64,
    "cursor": (0, 2**53),
    "offset": (0, 2**53),
    "start": (0, 2**53),
    "end": (0, 2**53),
    "n_replaced": (0, 2**53),
    "max_tokens": (1, MAX_TOKENS),
    "n_alternatives": (1, MAX_ALTERNATIVES),
    "deadline_ms": (0, MAX_DEADLINE_MS),
    "max_lines": (1, MAX_LINES),
}
_LENGTHS: dict[str, int] = {
    "token": 1024,
    "client": 1024,
    "document": MAX_NAME,
    "root": MAX_NAME,
    "path": MAX_NAME,
    "paths": MAX_NAME,
    "excluded": MAX_NAME,
    "language": 256,
    "text": MAX_TEXT,
    "virtual_text": MAX_VIRTUAL_TEXT,
}
_WORDS: dict[str, tuple[str, ...]] = {
    "alternatives_by": ALTERNATIVES_BY,
    "contrast": CONTRASTS,
}


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


for _cls in (*_CLASSES.values(), TextEdit, Item, ContextItem, DocumentStatus):
    attrs.resolve_types(_cls)
_CONVERTER = _make_converter()


def pack(frame: Frame) -> bytes:
    """The bytes of a frame, length included. The message of a Failure is shortened.

    Raises: WireError `frame_too_long`, when a peer would not take it.
    """
    if isinstance(frame, Failure) and len(frame.message) > MAX_MESSAGE:
        frame = attrs.evolve(frame, message=_shortened(frame.message, MAX_MESSAGE))
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
    return _LENGTH.pack(len(payload)) + payload


def unpack(payload: bytes, expected: Collection[str] = _CLASSES) -> Frame:
    """The frame in a payload (the length not included), one of the kinds expected.

    Raises: WireError `malformed_frame`, `unknown_op`, `unexpected_frame` or `invalid_frame`, saying where.
    """
    fields = _fields(payload, MAX_VALUES)
    op = fields.pop("op", None)
    cls = _CLASSES.get(op) if isinstance(op, str) else None
    if cls is None or not isinstance(op, str):
        raise WireError("unknown_op", f"known are {', '.join(sorted(expected))}")
    named = fields.get("id"), fields.get("document")
    request_id = named[0] if type(named[0]) is int and _within(named[0], _INT64) else None
    document = named[1] if isinstance(named[1], str) and len(named[1]) <= MAX_NAME else ""
    if op not in expected:
        raise WireError("unexpected_frame", f"{op} is not expected", None, document, op)
    problem = ""
    try:
        frame = cast(Frame, _CONVERTER.structure(fields, cls))
    except Exception:  # whatever cattrs raises: a frame we refuse
        frame, problem = None, _first_problem(cls, fields)
    if frame is not None and cls in _TO_ENGINE:
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
    if fields or max(len(token), len(client)) > _LENGTHS["token"]:
        raise WireError(
            "invalid_frame", "Hello: expected version, token and client, of bounded length"
        )
    return Hello(version, token, client)


def _fields(payload: bytes, max_values: int) -> dict[str, Any]:
    try:
        scan(payload, max_values)
        return cast(dict[str, Any], msgpack.unpackb(payload, strict_map_key=True))
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        # msgpack's own words may repeat what was sent
        reason = str(error) if isinstance(error, ScanError) else type(error).__name__
        raise WireError("malformed_frame", f"not one msgpack map: {reason}") from None


def _first_problem(cls: type[Any], fields: dict[str, Any]) -> str:
    """What is wrong with the first wrong field of a frame."""
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
    """What is wrong with the first field that is too long or out of its range; empty where none is."""
    for field in attrs.fields(cast(Any, type(frame))):
        value = cast(object, getattr(frame, field.name))
        for one in cast(tuple[object, ...], value) if isinstance(value, tuple) else (value,):
            is_edit = isinstance(one, TextEdit)
            problem = _out_of_range(one) if is_edit else _outside(field.name, one)
            if problem:
                return problem
    return ""


def _outside(name: str, value: object) -> str:
    if name in _RANGES and isinstance(value, int) and not _within(value, _RANGES[name]):
        return f"{name}: expected {_RANGES[name][0]} to {_RANGES[name][1]}"
    if name in _LENGTHS and isinstance(value, str) and len(value) > _LENGTHS[name]:
        return f"{name}: at most {_LENGTHS[name]} characters are taken"
    if name in _WORDS and value not in _WORDS[name]:
        return f"{name}: expected {', '.join(_WORDS[name])}"
    return ""


def _within(value: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= value <= bounds[1]


class ByteReader(Protocol):
    """What `read` needs of a stream; asyncio.StreamReader has it."""

    async def readexactly(self, n: int, /) -> bytes: ...


async def read_payload(stream: ByteReader, most_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """The next frame's payload.

    Raises: WireError `frame_too_long`, after which the stream is of no use; asyncio.IncompleteReadError at the end of
    the stream.
    """
    (length,) = cast(tuple[int], _LENGTH.unpack(await stream.readexactly(_LENGTH.size)))
    if length > most_bytes:
        raise WireError(
            "frame_too_long", f"a frame of {length} bytes; at most {most_bytes} are taken"
        )
    return await stream.readexactly(length)


async def read(stream: ByteReader, most_bytes: int = MAX_FRAME_BYTES) -> Frame:
    """The next frame of a stream.

    Raises: WireError, as `unpack` and `read_payload`; asyncio.IncompleteReadError at the end of the stream.
    """
    return unpack(await read_payload(stream, most_bytes))
