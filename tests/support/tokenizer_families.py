"""Tokenizers of the shapes that code models have, trained on a little text."""

from __future__ import annotations

import functools
import inspect
import json
import textwrap

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from warmline_engine.text.tokenizer import Tokenizer
from warmline_lab.data import tokenizer as own

CONTROL = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>"]
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SAMPLE = (
    inspect.getsource(json.decoder) + inspect.getsource(textwrap) + inspect.getsource(functools)
)


def trained(name: str) -> HuggingFaceTokenizer:
    if name == "own":
        return own.train([SAMPLE], 700)
    if name == "llama":
        tokenizer = HuggingFaceTokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        tokenizer.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=names, show_progress=False)
        lines = SAMPLE.splitlines(keepends=True)
        tokenizer.train_from_iterator(lines, trainer)
        description = json.loads(tokenizer.to_str())
        description["added_tokens"] = []
        tokenizer = HuggingFaceTokenizer.from_str(json.dumps(description))
        tokenizer.add_special_tokens(CONTROL)
        return tokenizer
    tokenizer = HuggingFaceTokenizer(models.BPE())
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=name != "qwen")
    if name == "qwen":
        tokenizer.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(QWEN), behavior="isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    elif name == "starcoder":
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, to_bytes])
    else:
        splits = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+"]
        steps = [pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in splits]
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [*steps, digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([SAMPLE], trainer)
    tokenizer.add_special_tokens(CONTROL)
    return tokenizer


@functools.cache
def load(name: str) -> Tokenizer:
    return Tokenizer(json.loads(trained(name).to_str()))


NAMES = ["own", "qwen", "starcoder", "deepseek", "llama"]
