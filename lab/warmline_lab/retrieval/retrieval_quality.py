"""How well the rest of a package is found: from a docstring to its function, from a use to its definition.

`python -m warmline_lab.retrieval.retrieval_quality` measures on the pinned held-out releases, the newer of each.
Every candidate is treated the same way: all functions lose their docstring, not only the ones that are asked for.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import os
import re
import tempfile
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from warmline_engine.retrieval.index import encoder_file
from warmline_engine.retrieval.index.encoder import Encoder
from warmline_engine.retrieval.index.index import UNSAVED, Index
from warmline_engine.retrieval.index.words import words
from warmline_engine.retrieval.index_command import encode
from warmline_engine.retrieval.query import Query, query
from warmline_engine.retrieval.rank import N_BLOCKS, ranked
from warmline_lab.data.releases import FOLDER, PINS, DataError, read_pins, sources
from warmline_lab.replay.edits import lines_of
from warmline_lab.replay.traces import is_code
from warmline_protocol import processes

from .cross_file import line_behind_imports, names_from_package, parsed_module
from .rankers import FUSED, added, fused, rank_of, rankers_for

LONG = 820  # characters of a function of 256 tokens, about
MIN_WORDS = 4  # of a docstring's first paragraph
DEEPEST = 50  # ranks that are looked at for a definition


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
    docstring: str


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
                docstring = ast.get_docstring(child) or ""
                last = child.end_lineno or child.lineno
                kept = lines[child.lineno - 1 : last]
                if docstring:
                    first = child.body[0]
                    end = first.end_lineno or first.lineno
                    kept = lines[child.lineno - 1 : first.lineno - 1] + lines[end:last]
                yield Function(textwrap.dedent("".join(kept)), docstring.split("\n\n")[0])


def from_docstrings(files: Sequence[str], encoder: Encoder) -> list[Row]:
    """Docstring to function, among all functions of all files."""
    found = [function for text in files for function in functions(text)]
    asked = [k for k, one in enumerate(found) if len(words(one.docstring, False)) >= MIN_WORDS]
    rankers = rankers_for([one.code for one in found], encoder)
    ranks: dict[str, dict[int, int | None]] = defaultdict(dict)
    for k in asked:
        scores = {name: ranker(found[k].docstring) for name, ranker in rankers.items()}
        for name, parts in FUSED.items():
            scores[f"{name}, by rank"] = fused([scores[part] for part in parts])
            scores[f"{name}, by score"] = added(*(scores[part] for part in parts))
        for name, of_all in scores.items():
            ranks[name][k] = rank_of(of_all, k) if of_all[k] > 0 else None
    return [
        row("docstring to function", name, subset, [of[k] for k in chosen])
        for name, of in ranks.items()
        for subset, chosen in _by_length(found, asked)
    ]


def _by_length(found: Sequence[Function], asked: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    yield "all", list(asked)
    yield "up to 256 tokens", [k for k in asked if len(found[k].code) <= LONG]
    yield "longer", [k for k in asked if len(found[k].code) > LONG]


METHODS: dict[str, Callable[[Query], Query]] = {
    "BM25": lambda q: replace(q, names=(), imports=(), unused=()),
    "names": lambda q: replace(q, words=(), imports=(), unused=()),
    "names and imports": lambda q: replace(q, words=()),
    "BM25 and names": lambda q: replace(q, imports=(), unused=()),
    "all but vectors": lambda q: q,
    "vectors": lambda q: replace(q, names=(), imports=(), unused=(), words=()),
    "BM25 and vectors": lambda q: replace(q, names=(), imports=(), unused=()),
    "all": lambda q: q,
}
WITH_VECTORS = ("vectors", "BM25 and vectors", "all")


def from_uses(packages: Iterable[Sequence[tuple[str, str, int | None]]]) -> list[Row]:
    """Use to definition, of what `ranks_of_uses` gives for each package."""
    ranks: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    for found in packages:
        for subset, method, rank in found:
            ranks[subset, method].append(rank)
    return [
        row("use to definition", method, subset, found) for (subset, method), found in ranks.items()
    ]


def ranks_of_uses(files: dict[str, str], encoder: Encoder) -> list[tuple[str, str, int | None]]:
    """The ranks of definitions at lines of a package that use a name of another file: (subset, method, rank).

    The file is hidden from that line on; `first use` and `second use` are lines where the name is used so.
    """
    ranks: list[tuple[str, str, int | None]] = []
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Path(folder) / "index.sqlite", encoder=encoder)
        index.put((path, "python", text, UNSAVED) for path, text in files.items())
        encode(index)
        for path in sorted(files):
            for subset, name, source, offset in _uses(files, path):
                text = files[path][:offset]
                asked = query(path, "python", text, offset)
                similar = index.similar(asked.near, N_BLOCKS)
                defines = re.compile(
                    rf"^(?:async def|def|class) {re.escape(name)}\b|^{re.escape(name)}\b *[:=]",
                    re.MULTILINE,
                )
                for method, part in METHODS.items():
                    near = similar if method in WITH_VECTORS else []
                    found = ranked(
                        index, part(asked), text, limit=DEEPEST, most_characters=1 << 30, near=near
                    )
                    places = (
                        k
                        for k, one in enumerate(found, 1)
                        if one.path == source and defines.search(one.text)
                    )
                    ranks.append((subset, method, next(places, None)))
        index.close()
    return ranks


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
        "the name itself is not typed yet. Vectors are of the encoder beside `small`; fused by reciprocal rank, or by",
        "score as `retrieval/rank.py` does where it has vectors.",
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


def _encoder() -> Encoder:
    encoder = encoder_file.load()
    if encoder is None:
        raise SystemExit("the encoder does not fit the model; run training.fit_encoder small")
    return encoder


def _from_docstrings(texts: Sequence[str]) -> list[Row]:
    return from_docstrings(texts, _encoder())


def _ranks_of_uses(files: dict[str, str]) -> list[tuple[str, str, int | None]]:
    return ranks_of_uses(files, _encoder())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pins", type=Path, default=PINS)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, default=Path("lab/benchmarks/results/retrieval"))
    options = parser.parse_args()
    try:
        pins = read_pins(options.pins)
        packages = [sources(pin, options.folder) for pin in pins[1::2]]
    except DataError as error:
        raise SystemExit(f"evaluation data: {error}") from None
    texts = [text for files in packages for _, text in sorted(files.items())]
    context = processes.workers("spawn")
    n_processes = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(n_processes, context, torch.set_num_threads, (1,)) as pool:
        docstring = pool.submit(_from_docstrings, texts)
        uses = list(pool.map(_ranks_of_uses, packages))
        rows = docstring.result() + from_uses(uses)
    command = "python -m warmline_lab.retrieval.retrieval_quality"
    results = {
        "command": command,
        "encoder": _encoder().fingerprint,
        "releases": [pin.title for pin in pins[1::2]],
        "rows": [asdict(one) for one in rows],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quality.json").write_text(json.dumps(results, indent=1) + "\n")
    text = report(rows, command)
    (options.out / "quality.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
