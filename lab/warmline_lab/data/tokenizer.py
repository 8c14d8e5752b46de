"""Trains the tokenizer of the embedded models: byte-level BPE with tokens for indentation.

`python -m warmline_lab.data.tokenizer CORPUS OUT` reads train.jsonl and writes tokenizer.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

N_TOKENS = 12288
END_OF_TEXT = "<|endoftext|>"
CONTROL = (
    END_OF_TEXT,
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)

# A piece never reaches past the indentation that follows a line break, so an edit changes few pieces:
# a line break with the blanks behind it, a word with one blank before it, one digit, punctuation, blanks.
PIECES = r"\r?\n[ \t]*| ?[^\W\d_]+|_+|\d| ?[^\s\w]+|[ \t]+|\s"


def pieces() -> pre_tokenizers.PreTokenizer:
    """The pre-tokenizer: PIECES, then bytes."""
    split = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, to_bytes])


def train(texts: Iterable[str], n_tokens: int = N_TOKENS) -> Tokenizer:
    """A tokenizer of n_tokens entries, the control tokens included."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pieces()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_tokens,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in CONTROL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": "<|fim_pad|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8192,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def _texts(path: Path) -> Iterator[str]:
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)["text"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    tokenizer = train(_texts(arguments.corpus / "train.jsonl"))
    save(tokenizer, arguments.out)
    print(f"{tokenizer.get_vocab_size()} tokens in {arguments.out}")


if __name__ == "__main__":
    main()
