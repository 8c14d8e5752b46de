"""Finds a model's folder: embedded in the package, a folder, or a Hugging Face id."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from warmline_engine.errors import SourceError
from warmline_engine.model.hub.reading import read_bytes
from warmline_protocol.model_names import expanded, is_id

from .fetching import Notify, fetch

MAX_CARD_BYTES, MAX_CARD_NAME = 1 << 16, 200
EMBEDDED = Path(__file__).resolve().parents[2] / "models"
ENCODER = "encoder.safetensors"  # beside the weights: what retrieval reads texts with

LAYOUTS = ("prefix-first", "suffix-first")


@dataclass(frozen=True)
class Card:
    """What the files beside a model's weights state about it; `languages` is empty if they state none.

    `layout` is the order in which the model infills better: prefix first or suffix first.
    """

    name: str
    languages: tuple[str, ...]
    licence: str
    layout: str = LAYOUTS[0]


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights, without the encoder that was trained from them."""
    return sorted(path for path in folder.glob("*.safetensors") if path.name != ENCODER)


def embedded_names() -> list[str]:
    """The models that ship with the package."""
    return sorted(path.parent.name for path in EMBEDDED.glob("*/model.safetensors"))


def locate(model: str, notify: Notify | None = None) -> Path:
    """The folder of a model: an embedded name, a folder's absolute path, or a Hugging Face id, which is downloaded.

    `notify` gets the downloaded share.

    Raises: SourceError, which names what was tried and what to do.
    """
    folder = local_folder(model)
    return fetch(model, notify) if folder is None else folder


def local_folder(model: str) -> Path | None:
    """The folder of an embedded name or of a path; None for an id. A path starts with `/` or `~`.

    Raises: SourceError, if it is none of these or the folder does not exist.
    """
    if model in embedded_names():
        return EMBEDDED / model
    if is_id(model):
        return None
    try:
        folder = expanded(model)
        if folder.is_dir():
            return folder
        reason = f"there is no folder {folder}"
    except ValueError as error:
        reason = str(error)
    names = ", ".join(embedded_names()) or "none"
    raise SourceError(
        f"model {model!r} is neither an embedded model ({names}) nor a folder nor an id like "
        f"'owner/name': {reason}; correct the setting (in a terminal, ./x is a folder too)"
    )


def read_card(folder: Path) -> Card:
    """The card beside the weights, or an empty one.

    Raises: SourceError, if it exists and cannot be read.
    """
    path = folder / "card.toml"
    if not path.exists():
        return Card(folder.name, (), "")
    try:
        card = tomllib.loads(read_bytes(path, MAX_CARD_BYTES, SourceError).decode("utf-8"))
        languages = card.get("languages", [])
        if not isinstance(languages, list) or not all(isinstance(one, str) for one in languages):
            raise ValueError("languages is a list of names")
        layout = str(card.get("layout", LAYOUTS[0]))
        if layout not in LAYOUTS:
            raise ValueError(f"layout is {layout!r}; expected {' or '.join(LAYOUTS)}")
        name, licence = str(card.get("name", folder.name)), str(card.get("licence", ""))
        return Card(name[:MAX_CARD_NAME], tuple(languages), licence, layout)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from None
