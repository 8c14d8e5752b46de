"""The error of packing and reading frames."""

from __future__ import annotations

_MAX_SHOWN = 200  # characters


class WireError(Exception):
    """A frame that cannot be packed or read; `code` is stable, the text says what was expected.

    `request_id`, `document` and `op` (the frame's kind) are those of the frame, as far as they could be read, so that
    its sender can be answered.
    """

    def __init__(
        self,
        code: str,
        message: str,
        request_id: int | None = None,
        document: str = "",
        op: str = "",
    ) -> None:
        super().__init__(shortened(message, _MAX_SHOWN))
        self.code = code
        self.request_id = request_id
        self.document = document
        self.op = op


def shortened(text: str, max_characters: int) -> str:
    """A text of at most so many characters, with an ellipsis where it was cut."""
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"
