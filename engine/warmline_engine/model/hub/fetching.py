"""Downloads a model from Hugging Face, resumes broken downloads and reports progress.

A downloaded model is loaded without any request, in the downloaded revision; see `pins.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warmline_engine.errors import SourceError

from . import pins

_FILES = ["*.safetensors", "*.safetensors.index.json", "config.json", "tokenizer.json",
          "tokenizer_config.json", "card.toml"]  # fmt: skip

MIN_BYTES = 1 << 20  # of weights
Notify = Callable[[float], None]


def fetch(model: str, notify: Notify | None = None) -> Path:
    """Downloads a Hugging Face id; returns its folder. `notify` gets the downloaded share, else a terminal shows it.

    Makes no request if the model is complete.

    Raises: SourceError.
    """
    here, pin = at_hand(model), pins.read(model)
    if pin is None:
        return pins.write(model, here or _download(model, notify, None)).folder
    if here is not None:
        return here
    # a part of it was deleted
    _download(model, notify, pin.commit)
    if not pin.check(is_thorough=True):
        raise SourceError(f"{model} is incomplete on Hugging Face in revision {pin.commit}")
    return pin.folder


def fetch_newest(model: str) -> Path:
    """Downloads the newest revision of a Hugging Face id, uses it from now on, and returns its folder.

    Raises: SourceError; the present revision then stays in use.
    """
    return pins.write(model, _download(model, None, None)).folder


def at_hand(model: str) -> Path | None:
    """The folder of a completely downloaded Hugging Face id, in the pinned revision if there is one. Makes no request.

    Raises: SourceError, if one of its files was changed.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        pin = pins.read(model)
        if pin is not None:
            return pin.folder if pin.check() else None
        found = Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return found if pins.is_complete(found) else None


def _download(model: str, notify: Notify | None, revision: str | None) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        bar = _progress_bar(notify) if notify else None
        return Path(
            snapshot_download(model, revision=revision, allow_patterns=_FILES, tqdm_class=bar)
        )
    except HFValidationError as error:
        raise SourceError(f"{model!r} is not a Hugging Face id: {error}") from None
    except Exception as error:  # whatever its transport raises comes through, and that changes
        raise SourceError(
            f"{model} is not in the local cache and could not be downloaded ({type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}); check the connection and the id, or give a folder"
        ) from error


def _progress_bar(notify: Notify) -> Any:
    """A progress bar for the library that shows nothing and reports the downloaded share of bytes."""
    from huggingface_hub.utils import tqdm

    base: Any = tqdm

    class Bar(base):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._null = open(os.devnull, "w")  # noqa: SIM115  # closed with the bar
            super().__init__(*arguments, **{**options, "disable": False, "file": self._null})

        def update(self, n: float | None = 1) -> bool | None:
            done = super().update(n)
            # another bar counts files, of which one is nearly all there is; it may be known last
            if self.unit == "B" and self.total and self.total >= MIN_BYTES:
                notify(min(1.0, self.n / self.total))
            return done

        def close(self) -> None:
            super().close()
            self._null.close()

    return Bar
