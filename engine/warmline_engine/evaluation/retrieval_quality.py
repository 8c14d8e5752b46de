"""How well the rest of a package is found: from a docstring to its function, from a use to its definition.

`python -m warmline_engine.evaluation.retrieval_quality` measures on the pinned held-out releases, the newer of each.
Every candidate is treated the same way: all functions lose their docstring, not only the ones that are asked for.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import re
import tempfile
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from warmline_engine.retrieval.index import UNSAVED, Index
from warmline_engine.retrieval.query import Query, query
from warmline_engine.retrieval.rank import ranked
from warmline_engine.retrieval.split import split
from warmline_engine.retrieval.words import words

from .cross_file import line_behind_imports, names_from_package, parsed_module
from .edits import lines_of
from .releases import FOLDER, PINS, DataError, read_pins, sources
from .traces import is_code

LONG = 820  # characters of a function of 256 tokens, about
LEAST_WORDS = 4  # of a docstring's first paragraph
DEEPEST = 50  # ranks that are looked at for a definition
K1, B = 1.2, 0.75  # as FTS5 has them


@dataclass(frozen=True)
class Row:
    """One way of finding, on one set of queries. A rank that was not reached counts nothing."""

    task: str
    method: str
    subset: str
    n: int
    mrr: float
    recall_1: float
    recall_5: float
    recall_10: float


def row(task: str, method: str, subset: str, ranks: Sequence[int | None]) -> Row:
    """The measures of ranks that count from 1."""
    n = len(ranks)
    reached = [rank for rank in ranks if rank is not None]
    recalls = [sum(rank <= k for rank in reached) / n if n else math.nan for k in (1, 5, 10)]
    mrr = sum(1 / rank for rank in reached) / n if n else math.nan
    return Row(task, method, subset, n, round(mrr, 4), *(round(recall, 4) for recall in recalls))


@dataclass(frozen=True)
class Function:
    """A function without its docstring, and the docstring's first paragraph."""

    code: str
    said: str


def functions(text: str) -> Iterator[Function]:
    """The functions of a file, methods too, inner ones not."""
    tree = parsed_module(text)
    lines = lines_of(text)
    stack: list[ast.AST] = [tree] if tree else []
    while stack:
        node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                stack.append(child)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                said = ast.get_docstring(child) or ""
                last = child.end_lineno or child.lineno
                kept = lines[child.lineno - 1 : last]
                if said:
                    first = child.body[0]
                    end = first.end_lineno or first.lineno
                    kept = lines[child.lineno - 1 : first.lineno - 1] + lines[end:last]
                yield Function(textwrap.dedent("".join(kept)), said.split("\n\n")[0])


class Bm25:
    """BM25 over documents of several parts each; a document has the score of its best part."""

    def __init__(self, documents: Sequence[Sequence[Sequence[str]]]) -> None:
        self._of_word: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._owners: list[int] = []
        self._lengths: list[int] = []
        for owner, parts in enumerate(documents):
            for part in parts:
                for word, count in Counter(part).items():
                    self._of_word[word].append((len(self._owners), count))
                self._owners.append(owner)
                self._lengths.append(len(part))
        self._mean = sum(self._lengths) / max(1, len(self._lengths))

    def rank(self, wanted: Sequence[str], owner: int) -> int | None:
        """The rank of a document from 1; those of the same score share the mean of their ranks, rounded up."""
        n = len(self._owners)
        of_part: dict[int, float] = defaultdict(float)
        for word in set(wanted):
            having = self._of_word.get(word, [])
            idf = max(math.log((n - len(having) + 0.5) / (len(having) + 0.5)), 1e-6)
            for part, f in having:
                norm = K1 * (1 - B + B * self._lengths[part] / self._mean)
                of_part[part] += idf * f * (K1 + 1) / (f + norm)
        best: dict[int, float] = {}
        for part, score in of_part.items():
            found = self._owners[part]
            # what differs in its last bits only is the same score
            best[found] = max(round(score, 9), best.get(found, 0.0))
        if owner not in best:
            return None
        above = sum(score > best[owner] for score in best.values())
        same = sum(score == best[owner] for score in best.values())
        return above + (same + 2) // 2


def from_docstrings(files: Sequence[str]) -> list[Row]:
    """Docstring to function, among all functions of all files."""
    found = [function for text in files for function in functions(text)]
    asked = [k for k, one in enumerate(found) if len(words(one.said, False)) >= LEAST_WORDS]
    rows: list[Row] = []
    for with_parts in (False, True):
        for is_split in (False, True):
            documents = [
                [
                    words(part, with_parts)
                    for part in (_blocks(one.code) if is_split else [one.code])
                ]
                for one in found
            ]
            index = Bm25(documents)
            ranks = {k: index.rank(words(found[k].said, with_parts), k) for k in asked}
            names = "names and their parts" if with_parts else "whole names"
            method = f"BM25, {names}, {'blocks' if is_split else 'whole functions'}"
            for subset, chosen in _by_length(found, asked):
                rows.append(
                    row("docstring to function", method, subset, [ranks[k] for k in chosen])
                )
    return rows


def _blocks(code: str) -> list[str]:
    return [block.text for block in split(code, "python").blocks]


def _by_length(found: Sequence[Function], asked: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    yield "all", list(asked)
    yield "up to 256 tokens", [k for k in asked if len(found[k].code) <= LONG]
    yield "longer", [k for k in asked if len(found[k].code) > LONG]


METHODS: dict[str, Callable[[Query], Query]] = {
    "BM25": lambda q: replace(q, names=(), imports=(), unused=()),
    "names": lambda q: replace(q, words=(), imports=(), unused=()),
    "names and imports": lambda q: replace(q, words=()),
    "BM25 and names": lambda q: replace(q, imports=(), unused=()),
    "as served": lambda q: q,
}


def from_uses(packages: Sequence[dict[str, str]]) -> list[Row]:
    """Use to definition: at the line of a file that first uses a name of another file of its package.

    The file is hidden from that line on; `used later` is at the line of the second use.
    """
    ranks: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    for files in packages:
        with tempfile.TemporaryDirectory() as folder:
            index = Index(Path(folder) / "index.sqlite")
            index.put((path, "python", text, UNSAVED) for path, text in files.items())
            for path in sorted(files):
                for subset, name, source, offset in _uses(files, path):
                    text = files[path][:offset]
                    asked = query(path, "python", text, offset)
                    for method, part in METHODS.items():
                        found = ranked(
                            index, part(asked), text, limit=DEEPEST, most_characters=1 << 30
                        )
                        defines = re.compile(
                            rf"^(?:async def|def|class) {re.escape(name)}\b|^{re.escape(name)}\b *[:=]",
                            re.MULTILINE,
                        )
                        places = (
                            k
                            for k, one in enumerate(found, 1)
                            if one.path == source and defines.search(one.text)
                        )
                        ranks[subset, method].append(next(places, None))
            index.close()
    return [
        row("use to definition", method, subset, found) for (subset, method), found in ranks.items()
    ]


def _uses(files: dict[str, str], path: str) -> Iterator[tuple[str, str, str, int]]:
    """First and second uses of names from the package: (which, name, its file, where the line's code begins)."""
    bound = names_from_package(files, path)
    lines = lines_of(files[path])
    counts: Counter[str] = Counter()
    start = 0
    first = line_behind_imports(files[path])
    for k, line in enumerate(lines):
        if k >= first and is_code(line.strip()):
            names = dict.fromkeys(name for name in re.findall(r"\w+", line) if name in bound)
            for name in names:
                counts[name] += 1
                if counts[name] < 3:
                    which = "first use" if counts[name] == 1 else "second use"
                    yield which, name, bound[name].path, start + len(line) - len(line.lstrip())
        start += len(line)


def report(rows: Sequence[Row], command: str) -> str:
    """The rows as Markdown."""
    lines = [
        "# How well the rest of a package is found",
        "",
        f"`{command}`, on the newer of each pair of pinned held-out releases.",
        "",
        "Functions over 256 tokens are those over 820 characters. For uses, the file is hidden from the line on, and",
        "the name itself is not typed yet. No vectors are in it: there is no encoder yet.",
        "",
        "| task | method | queries | n | MRR | R@1 | R@5 | R@10 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.task} | {r.method} | {r.subset} | {r.n} | {r.mrr:.3f} | {r.recall_1:.3f} | {r.recall_5:.3f} "
        f"| {r.recall_10:.3f} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pins", type=Path, default=PINS)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, default=Path("tests/bench/results/retrieval"))
    options = parser.parse_args()
    try:
        pins = read_pins(options.pins)
        packages = [sources(pin, options.folder) for pin in pins[1::2]]
    except DataError as error:
        raise SystemExit(f"evaluation data: {error}") from None
    rows = from_docstrings([text for files in packages for _, text in sorted(files.items())])
    rows += from_uses(packages)
    command = "python -m warmline_engine.evaluation.retrieval_quality"
    told = {
        "command": command,
        "releases": [pin.title for pin in pins[1::2]],
        "rows": [asdict(one) for one in rows],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quality.json").write_text(json.dumps(told, indent=1) + "\n")
    text = report(rows, command)
    (options.out / "quality.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
