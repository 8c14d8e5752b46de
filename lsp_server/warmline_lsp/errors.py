"""What can go wrong in the language server.

ServerError                 every error the server reports, with a stable `code`
├── DocumentSyncError               a change that does not fit its document
└── EngineUnavailable                 the engine cannot be reached or will not serve
    ├── EngineRefused               it answered, and does not want us
    └── EngineHung                  it does not answer
"""

from __future__ import annotations


class ServerError(Exception):
    code = "server_error"


class DocumentSyncError(ServerError):
    code = "document"


class EngineUnavailable(ServerError):
    code = "engine"


class EngineRefused(EngineUnavailable):
    """`reason` is the code that the engine gave."""

    code = "engine_refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class EngineHung(EngineUnavailable):
    code = "engine_hung"
