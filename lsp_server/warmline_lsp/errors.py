"""What can go wrong in the language server.

ServerError                 every error the server reports, with a stable `code`
├── DocumentError               a change that does not fit its document
└── EngineError                 the engine cannot be reached or will not serve
    ├── EngineRefused               it answered, and does not want us
    └── EngineHung                  it does not answer
"""

from __future__ import annotations


class ServerError(Exception):
    code = "server_error"


class DocumentError(ServerError):
    code = "document"


class EngineError(ServerError):
    code = "engine"


class EngineRefused(EngineError):
    """`reason` is the code that the engine gave."""

    code = "engine_refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class EngineHung(EngineError):
    code = "engine_hung"
