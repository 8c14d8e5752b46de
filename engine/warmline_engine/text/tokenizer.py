"""Text to tokens and back. Text that looks like a control token is text: it never becomes one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as HuggingFaceTokenizer

from warmline_engine.errors import TokenizerError
from warmline_engine.model.hub.reading import MAX_TOKENIZER_BYTES, read_json, shown
from warmline_engine.panics import is_panic

from .tokenizer_check import check


@dataclass(frozen=True, eq=False)
class Encoded:
    """Tokens of a text; `starts` are code points, `begins_piece` says where the pre-tokenizer cut.

    Shapes: three of one length.
    """

    ids: list[int]
    starts: NDArray[np.int64]
    begins_piece: NDArray[np.bool_]


class Tokenizer:
    """A Hugging Face tokenizer.json, split in two: text tokens, and control tokens that go by id only.

    `is_local` says that a piece depends on the text from its start on, up to the next character that is
    no blank: then tokens can be made anew from any piece border. All pre-tokenizers of the families
    served are so; a tokenizer without one, or one that marks the start of a text, is not.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        """Raises: TokenizerError."""
        check(description)
        added = description.get("added_tokens") or []
        self._control_id_of = {str(token["content"]): int(token["id"]) for token in added}
        self.control_ids = frozenset(self._control_id_of.values())
        plain = {**description, "added_tokens": [], "post_processor": None}
        plain |= {"truncation": None, "padding": None}
        try:
            self._text = HuggingFaceTokenizer.from_str(json.dumps(plain))
            # ids may have gaps: their number is not the largest
            ids = self._text.get_vocab().values()
            self.is_local = _is_local(description)
            self._anchor = [] if self.is_local else self._text.encode("a").ids
        except BaseException as error:  # bare Exception for what it cannot read, and panics
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            raise TokenizerError(f"tokenizer.json cannot be used: {shown(str(error))}") from None
        self.n_vocabulary = 1 + max([-1, *ids, *self.control_ids])

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokenizer in a model folder.

        Raises: TokenizerError, saying what is missing.
        """
        path = folder / "tokenizer.json"
        try:
            description = read_json(path, MAX_TOKENIZER_BYTES, TokenizerError)
        except FileNotFoundError:
            raise TokenizerError(
                f"{folder} has no tokenizer.json; save the tokenizer in the fast format"
            ) from None
        if not isinstance(description.get("model"), dict):
            raise TokenizerError(f"{path} is not a tokenizer: it has no model")
        return cls(description)

    def control_id(self, name: str) -> int | None:
        """The id of a control token, None where this tokenizer has none of that name."""
        return self._control_id_of.get(name)

    def spells_like(self, other: Tokenizer) -> bool:
        """Whether both make the same tokens of every text, control tokens aside."""
        return self._text.to_str() == other._text.to_str()

    def encode(self, text: str) -> Encoded:
        """The tokens of a text that is nothing but text."""
        encoding = self._text.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids
        starts = np.array([start for start, _ in encoding.offsets], np.int64)
        words = np.array([-1 if word is None else word for word in encoding.word_ids], np.int64)
        begins = np.ones(len(ids), np.bool_)
        begins[1:] = words[1:] != words[:-1]
        return Encoded(ids, np.maximum.accumulate(starts) if len(ids) else starts, begins)

    def texts(self) -> dict[int, str]:
        """The text of each text token that by itself is whole characters."""
        ids = sorted(set(self._text.get_vocab().values()) - self.control_ids)
        anchor = self._text.decode(self._anchor) if self._anchor else ""
        texts = self._text.decode_batch(
            [[*self._anchor, token] for token in ids], skip_special_tokens=False
        )
        pairs = zip(ids, (text[len(anchor) :] for text in texts), strict=True)
        return {token: text for token, text in pairs if text and "\ufffd" not in text}

    def decode(self, ids: list[int]) -> str:
        """The text of tokens; bytes that are no whole character at the end are left out."""
        text = self._text.decode([*self._anchor, *ids], skip_special_tokens=False)
        if self._anchor:
            text = text[len(self._text.decode(self._anchor)) :]
        return text.rstrip("\ufffd")


def _is_local(description: dict[str, Any]) -> bool:
    pre_tokenizer = description.get("pre_tokenizer")
    if not pre_tokenizer:
        return False
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    marks_start = any(step.get("add_prefix_space") or step["type"] == "Metaspace" for step in steps)
    normalizer = description.get("normalizer") or {"type": "Sequence", "normalizers": []}
    kinds = {step["type"] for step in normalizer.get("normalizers", [normalizer])}
    return not marks_start and kinds <= {"NFC"} and '"(?<' not in json.dumps(pre_tokenizer)
