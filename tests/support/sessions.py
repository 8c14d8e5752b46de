"""Requests to a session, and its text."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from warmline_engine.session.query import CompletionQuery
from warmline_engine.session.session import Session

TEXT = inspect.getsource(textwrap.wrap) + "\n\n" + inspect.getsource(textwrap.dedent)


def ask(offset: int, **changes: Any) -> CompletionQuery:
    asked: dict[str, Any] = {
        "offset": offset,
        "virtual_text": "",
        "max_tokens": 12,
        "multi_line": True,
        "n_alternatives": 1,
        "deadline_ms": None,
        "is_cancelled": lambda: False,
    }
    return CompletionQuery(**(asked | changes))


def finish(session: Session) -> None:
    while session.encode_some(128) or session.repair_some(128) or session.refresh_some(128):
        session.check()
