"""The layout that a model is served in, and the other one that it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.text.fim import find_template

from .records import Record

OTHER = {"psm": "spm", "spm": "psm"}


def in_other_layout(model: LoadedModel) -> LoadedModel | None:
    """The model with the halves of a text the other way round; None where it knows one way only."""
    other = find_template(model.tokenizer, suffix_first=not model.layout.is_suffix_first)
    if not other.has_suffix or other.is_suffix_first == model.layout.is_suffix_first:
        return None
    return replace(model, layout=other)


def served_layout(records: Iterable[Record]) -> str:
    """The layout of most records: the other one is measured on a part of the requests."""
    found = Counter(record.layout for record in records).most_common(1)
    return found[0][0] if found else "psm"
