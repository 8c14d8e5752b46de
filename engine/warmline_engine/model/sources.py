"""Where a model is: one that ships with the package, a folder, or an id at Hugging Face."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from warmline_engine.errors import SourceError

from .fetching import Tell, fetch
from .reading import read_bytes

MAX_CARD_BYTES, MAX_CARD_NAME = 1 << 16, 200
EMBEDDED = Path(__file__).resolve().parent.parent / "models"
ENCODER = "encoder.safetensors"  # beside the weights: what retrieval reads texts with

LAYOUTS = ("prefix-first", "suffix-first")


@dataclass(frozen=True)
class Card:
    """What is said of a model beside its weights; `languages` is empty where nothing is said.

    `layout` is prefix-first or suffix-first: how the model fills a middle better.
    """

    name: str
    languages: tuple[str, ...]
    licence: str
    layout: str = LAYOUTS[0]


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights, without the encoder that was made from them."""
    return sorted(path for path in folder.glob("*.safetensors") if path.name != ENCODER)


def embedded_names() -> list[str]:
    """The models that ship with the package."""
    return sorted(path.parent.name for path in EMBEDDED.glob("*/model.safetensors"))


def locate(model: str, tell: Tell | None = None) -> Path:
    """The folder of a model: an embedded name, a folder's path, or a Hugging Face id, which is fetched.

    `tell` gets the share of a fetch that is here.

    Raises: SourceError, saying what was tried and what to do.
    """
    if (EMBEDDED / model / "model.safetensors").exists() and "/" not in model:
        return EMBEDDED / model
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    names = ", ".join(embedded_names()) or "none"
    if model.count("/") != 1 or model.startswith((".", "~", "/")) or "\\" in model:
        raise SourceError(
            f"model {model!r} is neither an embedded model ({names}) nor a folder nor an id like "
            "'owner/name'; correct the setting"
        )
    return fetch(model, tell)


def read_card(folder: Path) -> Card:
    """The card beside the weights, or an empty one.

    Raises: SourceError, when it is there and cannot be read.
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
