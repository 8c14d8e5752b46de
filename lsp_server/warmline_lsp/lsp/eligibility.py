"""Whether a document is served, and the reason if it is not."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from warmline_lsp.documents.documents import Document
from warmline_lsp.settings.languages import CODE, choice
from warmline_lsp.settings.settings import Settings

MAX_INSPECTED = 8_000  # characters, to recognize a binary file
BINARY_RATIO = 20  # a file is binary if more than one in so many characters is NUL or U+FFFD


class Refusal(Enum):
    """Why a document is not served: the state for the client, and a message for the user."""

    OFF = ("off", "Completions are off")
    OFF_FOR_FILE = ("off", "Completions are off for this file (warmline.disabledGlobs)")
    OFF_FOR_LANGUAGE = ("off", "Completions are off for this language (warmline.languages)")
    EXCLUDED = (
        "excluded",
        "The engine does not see this file (warmline.excludedGlobs)",
    )
    TOO_LARGE = ("too large", "This file is too large")
    UNFOLLOWED = (
        "too large",
        "This file is too large; if it becomes smaller, close it and open it again",
    )
    OUT_OF_SYNC = (
        "out of sync",
        "This file is out of sync with the editor; close it and open it again",
    )
    BINARY = ("binary", "This file is not text")
    UNKNOWN_LANGUAGE = (
        "language",
        "The model does not support this language; to try it anyway, add it to warmline.languages",
    )
    NO_SETTINGS_YET = ("settings", "Reading the settings of this file")

    def __init__(self, state: str, message: str) -> None:
        self.state = state
        self.message = message


def refusal(
    document: Document, settings: Settings | None, root: str, languages: Collection[str] | None
) -> Refusal | None:
    """Why a document is not served; None if it is.

    `settings`: None if the client has not sent them yet.
    `root`: the document's workspace folder, or empty.
    `languages`: those of the model's card. Empty for a model without a card, which serves programming languages. None
    if the model is not known yet; then any language may be served.
    """
    if settings is None:
        return Refusal.NO_SETTINGS_YET
    if not settings.enable:
        return Refusal.OFF
    if settings.is_excluded(document.uri, root):
        return Refusal.EXCLUDED
    if settings.is_disabled(document.uri, root):
        return Refusal.OFF_FOR_FILE
    chosen = choice(settings.languages, document.language)
    if chosen is False:
        return Refusal.OFF_FOR_LANGUAGE
    if document.is_out_of_sync:
        return Refusal.OUT_OF_SYNC
    if document.is_too_large:
        return Refusal.UNFOLLOWED if document.is_unfollowed else Refusal.TOO_LARGE
    if is_binary(document.text):
        return Refusal.BINARY
    if chosen or languages is None or document.language in (languages or CODE):
        return None
    return Refusal.UNKNOWN_LANGUAGE


def is_binary(text: str) -> bool:
    """Whether a text seems to be binary data, judged by its first characters."""
    head = text[:MAX_INSPECTED]
    n_odd = head.count("\0") + head.count("\ufffd")
    return len(head) < BINARY_RATIO * n_odd
