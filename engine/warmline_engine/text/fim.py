"""How a model family wants prefix and suffix laid out, found from the tokenizer's own control tokens."""

from __future__ import annotations

from dataclasses import dataclass

from .tokenizer import Tokenizer


@dataclass(frozen=True)
class FimTemplate:
    """Control tokens around the two halves of a text, by id.

    The sequence is `front`, one half, `between`, the other half, `behind`; the prefix is the first half
    unless `is_suffix_first`. Without `has_suffix` it is `front` and the prefix.
    """

    front: tuple[int, ...]
    between: tuple[int, ...]
    behind: tuple[int, ...]
    stop_ids: frozenset[int]  # a sampled one of these ends the middle
    is_suffix_first: bool = False
    has_suffix: bool = True


# prefix, suffix and middle markers; whether the family begins with its <s>; what ends a middle
_FAMILIES: tuple[tuple[tuple[str, str, str], str | None, tuple[str, ...]], ...] = (
    (
        ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5-Coder, Warmline's own
        None,
        ("<|endoftext|>", "<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<|im_end|>"),
    ),
    (
        ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, StarCoder2, Granite code
        None,
        ("<|endoftext|>", "<fim_pad>", "<file_sep>", "<repo_name>", "<|end_of_text|>"),
    ),
    (
        ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek-Coder
        "<｜begin▁of▁sentence｜>",
        ("<｜end▁of▁sentence｜>", "<|EOT|>"),
    ),
    (("▁<PRE>", "▁<SUF>", "▁<MID>"), "<s>", ("▁<EOT>", "</s>")),  # CodeLlama
)
_STOP_TOKENS = ("<|endoftext|>", "</s>", "<｜end▁of▁sentence｜>", "<|end_of_text|>")


def find_template(tokenizer: Tokenizer, suffix_first: bool = False) -> FimTemplate:
    """The layout of a model; left to right where its tokenizer has no fill-in-the-middle tokens."""
    for markers, begin, stop_ids in _FAMILIES:
        found = [tokenizer.control_id(name) for name in markers]
        if None in found:
            continue
        prefix, suffix, middle = (token_id for token_id in found if token_id is not None)
        first = _ids(tokenizer, (begin,) if begin else ())
        stops = frozenset(_ids(tokenizer, stop_ids)) | {prefix, suffix, middle}
        if suffix_first:
            return FimTemplate((*first, prefix, suffix), (middle,), (), stops, is_suffix_first=True)
        return FimTemplate((*first, prefix), (suffix,), (middle,), stops)
    suffix, prefix = tokenizer.control_id("[SUFFIX]"), tokenizer.control_id("[PREFIX]")
    if suffix is not None and prefix is not None:  # Codestral: suffix first and no middle
        first = _ids(tokenizer, ("<s>",))
        stops = frozenset(_ids(tokenizer, ("</s>",))) | {suffix, prefix}
        return FimTemplate((*first, suffix), (prefix,), (), stops, is_suffix_first=True)
    stops = frozenset(_ids(tokenizer, _STOP_TOKENS))
    return FimTemplate(_ids(tokenizer, ("<s>",)), (), (), stops, has_suffix=False)


def _ids(tokenizer: Tokenizer, names: tuple[str, ...]) -> tuple[int, ...]:
    found = (tokenizer.control_id(name) for name in names)
    return tuple(token_id for token_id in found if token_id is not None)
