"""All frames by name, and which document and request a frame belongs to."""

from __future__ import annotations

from typing import Any

from .frames_to_engine import (
    AskContext,
    AskStatus,
    Cancel,
    Close,
    Complete,
    Edit,
    FilesChanged,
    Hello,
    MoveCursor,
    Open,
    Quit,
    ToEngine,
)  # fmt: skip
from .frames_to_server import (
    Completion,
    Context,
    Encoded,
    Failure,
    ModelReady,
    Progress,
    Status,
    ToServer,
    Welcome,
)  # fmt: skip

Frame = ToEngine | ToServer

TO_ENGINE_CLASSES: tuple[type[Any], ...] = (
    *(Hello, Open, Edit, Close, MoveCursor, FilesChanged, Complete, Cancel, AskContext),
    *(AskStatus, Quit),
)
TO_SERVER_CLASSES: tuple[type[Any], ...] = (
    *(Welcome, ModelReady, Progress, Encoded, Completion, Context, Status, Failure),
)
CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls for cls in (*TO_ENGINE_CLASSES, *TO_SERVER_CLASSES)
}
TO_ENGINE = frozenset(cls.__name__ for cls in TO_ENGINE_CLASSES)
TO_SERVER = frozenset(cls.__name__ for cls in TO_SERVER_CLASSES)


def document_of(frame: Frame) -> str:
    """The document that a frame belongs to, or an empty name."""
    match frame:
        case Open() | Edit() | Close() | MoveCursor() | Complete() | AskContext():
            return frame.document
        case Encoded() | Failure():
            return frame.document
        case _:
            return ""


def request_id_of(frame: Frame) -> int | None:
    """The id of the request that a frame makes, cancels or answers."""
    match frame:
        case Complete() | Cancel() | AskContext() | AskStatus():
            return frame.id
        case Completion() | Context() | Status() | Failure():
            return frame.id
        case _:
            return None
