"""Fetches a model from Hugging Face: taken up again where a connection broke, and telling how far it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warmline_engine.errors import SourceError

_FILES = ["*.safetensors", "*.safetensors.index.json", "config.json", "tokenizer.json",
          "tokenizer_config.json", "card.toml"]  # fmt: skip

LEAST_BYTES = 1 << 20  # of weights
Tell = Callable[[float], None]


def fetch(model: str, tell: Tell | None = None) -> Path:
    """The folder of a Hugging Face id; `tell` gets the share that is here, else a terminal shows it.

    Raises: SourceError.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        bar = _telling(tell) if tell else None
        return Path(snapshot_download(model, allow_patterns=_FILES, tqdm_class=bar))
    except HFValidationError as error:
        raise SourceError(f"{model!r} is not a Hugging Face id: {error}") from None
    except Exception as error:  # whatever its transport raises comes through, and that changes
        raise SourceError(
            f"{model} is not in the local cache and could not be fetched ({type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}); check the connection and the id, or give a folder"
        ) from error


def _telling(tell: Tell) -> Any:
    """A progress bar, as the library wants one, that shows nothing and tells the share of bytes that is here."""
    from huggingface_hub.utils import tqdm

    base: Any = tqdm

    class Bar(base):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._null = open(os.devnull, "w")  # noqa: SIM115  # closed with the bar
            super().__init__(*arguments, **{**options, "disable": False, "file": self._null})

        def update(self, n: float | None = 1) -> bool | None:
            done = super().update(n)
            # another bar counts files, of which one is nearly all there is; it may be known last
            if self.unit == "B" and self.total and self.total >= LEAST_BYTES:
                tell(min(1.0, self.n / self.total))
            return done

        def close(self) -> None:
            super().close()
            self._null.close()

    return Bar
