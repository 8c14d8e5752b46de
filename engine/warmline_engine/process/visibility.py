"""Which texts of a workspace may be shown in one of its documents: asked when a text is used, not only when it is read.

An index may have been built, and a document opened, by a client with other rules; and rules change.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from warmline_engine.retrieval.source.files import Rules
from warmline_protocol.exclusion import is_excluded


def may_show_piece(root: str, path: str, excluded: tuple[str, ...]) -> bool:
    """Whether a piece of a file may be shown, given excluded globs. Reads no file."""
    return not is_excluded(f"{root}/{path}", excluded, root)


def may_show_document(name: str, root: str, path: str, excluded: tuple[str, ...]) -> bool:
    """Whether the text of an open document may be shown, given excluded globs. Reads no file.

    A document outside workspaces is judged by its URI.
    """
    if root:
        return may_show_piece(root, path, excluded)
    return not is_excluded(unquote(urlsplit(name).path) or name, excluded)


def is_left_out(root: str, path: str) -> bool:
    """Whether the ignore files of a workspace leave out a file of it; they are read."""
    return not Rules(Path(root), ()).allows_whole(path)
