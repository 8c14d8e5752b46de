"""The frames that the language server and the engine exchange, and how they travel.

A frame is a `u32` little-endian byte length and then a msgpack map whose `op` names one of the
classes below. Offsets count code points. This is the only engine module the server imports, so it
imports msgpack, attrs and cattrs and nothing else.
"""

from __future__ import annotations

import struct
from typing import Any, Protocol, cast

import attrs
import cattrs
import msgpack
from cattrs.preconf.msgpack import make_converter

PROTOCOL_VERSION = 6
MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_HELLO_BYTES = 4096  # of who has not shown yet who it is

_LENGTH = struct.Struct("<I")


class WireError(Exception):
    """A frame that cannot be taken; `code` is stable, the text says what came and was expected."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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
    assumed: str = ""  # text taken as typed at the offset; items continue behind it
    n_replaced: int = 0  # characters behind the offset that `assumed` takes the place of
    max_tokens: int = 64
    multi_line: bool = True
    n_alternatives: int = 1
    deadline_ms: int | None = None  # answer with what there is after this long
    shows_unsure: bool = True  # else what the model takes to be unlikely is left out
    alternatives_by: str = "branching"  # or drawn at random, by "sampling" or "mirostat"
    contrast: str = "off"  # what is said without other files taken off, as "difference" or "ratio"
    by_base: bool = False  # of a pair of models by the base model, however long it takes


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
    text: str
    mean_logprob: float


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
)

ToEngine = (
    Hello | Open | Edit | Close | MoveCursor | FilesChanged | Complete | Cancel | AskContext
    | AskStatus | Quit
)  # fmt: skip
ToServer = Welcome | ModelReady | Progress | Encoded | Completion | Context | Status | Failure
Frame = ToEngine | ToServer

_CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        *(Hello, Open, Edit, Close, MoveCursor, FilesChanged, Complete, Cancel),
        *(AskContext, AskStatus, Quit, Welcome, ModelReady, Progress, Encoded, Completion),
        *(Context, Status, Failure),
    )
}


def _strict(kind: type) -> Any:
    def structure(value: object, _: type) -> object:
        is_int = isinstance(value, int) and not isinstance(value, bool)
        if type(value) is kind or (kind is float and is_int):
            return value
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")

    return structure


def _make_converter() -> cattrs.Converter:
    converter = make_converter(forbid_extra_keys=True)
    # cattrs would turn 3 into "3" and "no" into True; a wrong type is an error here
    for kind in (int, float, str, bool):
        converter.register_structure_hook(kind, _strict(kind))
    return converter


_CONVERTER = _make_converter()


def pack(frame: Frame) -> bytes:
    """The bytes of a frame, length included.

    Raises: WireError `frame_too_long`, when it is over MAX_FRAME_BYTES.
    """
    body = cast(dict[str, Any], _CONVERTER.unstructure(frame))
    payload = cast(bytes, msgpack.packb({"op": type(frame).__name__, **body}))
    if len(payload) > MAX_FRAME_BYTES:
        raise WireError(
            "frame_too_long", f"a frame of {len(payload)} bytes; at most {MAX_FRAME_BYTES} are sent"
        )
    return _LENGTH.pack(len(payload)) + payload


def unpack(payload: bytes) -> Frame:
    """The frame in a payload (the length not included).

    Raises: WireError `malformed_frame`, `unknown_op` or `invalid_frame`, saying where.
    """
    try:
        body = cast(object, msgpack.unpackb(payload, strict_map_key=True))
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise WireError("malformed_frame", f"not one msgpack value: {error}") from None
    if not isinstance(body, dict):
        raise WireError("malformed_frame", f"expected a map, got {type(body).__name__}")
    fields = cast(dict[str, Any], body)
    op = fields.pop("op", None)
    cls = _CLASSES.get(op) if isinstance(op, str) else None
    if cls is None:
        raise WireError("unknown_op", f"op {op!r}; known: {', '.join(sorted(_CLASSES))}")
    try:
        return cast(Frame, _CONVERTER.structure(fields, cls))
    except Exception as error:  # cattrs groups errors; any of them means a frame we refuse
        reasons = "; ".join(cattrs.transform_error(error))
        raise WireError("invalid_frame", f"{op}: {reasons}") from None


class ByteReader(Protocol):
    """What `read` needs of a stream; asyncio.StreamReader has it."""

    async def readexactly(self, n: int, /) -> bytes: ...


async def read(stream: ByteReader, most_bytes: int = MAX_FRAME_BYTES) -> Frame:
    """The next frame of a stream.

    Raises: WireError, as `unpack`, and `frame_too_long`, after which the stream is of no use;
    asyncio.IncompleteReadError at the end of the stream.
    """
    (length,) = cast(tuple[int], _LENGTH.unpack(await stream.readexactly(_LENGTH.size)))
    if length > most_bytes:
        raise WireError(
            "frame_too_long", f"a frame of {length} bytes; at most {most_bytes} are taken"
        )
    return unpack(await stream.readexactly(length))
