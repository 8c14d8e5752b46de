"""Texts with a marked place, and their syntax there."""

from __future__ import annotations

import textwrap

from warmline_engine.syntax.tree import Syntax

FILE = textwrap.dedent(
    """\
    import os


    def size(path, unit="µ"):
        if path:
            return os.stat(path).st_size

        return 0


    class Reader:
        names = ["a", "b"]

        def read(self):
            return {name: size(name) for name in self.names}
    """
)


def syntax_of(text: str) -> Syntax:
    found = Syntax.of("python", text)
    assert found is not None
    return found


AT = FILE.index("    return 0")
