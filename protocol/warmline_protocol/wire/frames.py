"""All frames by name, and which document and request a frame belongs to."""

from __future__ import annotations

from typing import Any, get_args

from .frames_to_engine import (
    AskContext,
    AskStatus,
    Cancel,
    Close,
    Complete,
    Edit,
    MoveCursor,
    Open,
    ToEngine,
)
from .frames_to_server import Completion, Context, Encoded, Failure, Status, ToServer

Frame = ToEngine | ToServer

TO_ENGINE_CLASSES: tuple[type[Any], ...] = get_args(ToEngine)
TO_SERVER_CLASSES: tuple[type[Any], ...] = get_args(ToServer)
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
