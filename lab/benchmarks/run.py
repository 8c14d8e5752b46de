"""Run one benchmark by its name and write its result where the results are kept.

`make bench` lists the benchmarks; `make bench NAME=drafts` runs one. What `lab/benchmarks/results` holds afterwards is
the new measurement, and docs/results.md is written again.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
RESULTS = Path("lab/benchmarks/results")
WEIGHTS = Path(".work/qwen05b")


@dataclass(frozen=True)
class Benchmark:
    """`runs` are the arguments of each run, and the file in which its result is kept.

    Without a file the benchmark prints its result. `needs` is what is made first: "releases" are the pinned packages
    of the evaluation, anything else is a target of the Makefile.
    """

    runs: tuple[tuple[tuple[str, ...], str | None], ...] = (((), None),)
    needs: tuple[str, ...] = ()
    writes_itself: bool = True  # takes --out; otherwise its standard output is the result


def _one(file: str | None, *arguments: str, needs: tuple[str, ...] = ()) -> Benchmark:
    return Benchmark(((arguments, file),), needs)


_RELEASES = ("releases",)
_RANDOM = (str(WEIGHTS / "model.safetensors"),)
BENCHMARKS: dict[str, Benchmark] = {
    "behind_edits": _one("behind-small.json", needs=_RELEASES),
    "bound_chunks": _one("bound-small.json", needs=_RELEASES),
    "decoding": _one("decoding", needs=_RELEASES),
    "drafts": Benchmark(
        (
            ((), "drafts-small.json"),
            (("--dtype", "bfloat16"), "drafts-small-bf16.json"),
            (("--dtype", "int4"), "drafts-small-int4.json"),
        ),
        _RELEASES,
    ),
    "edits": Benchmark(
        (
            (("edits", "--model", "small"), "edits-small.json"),
            (
                (
                    *("edits", "--model", f"./{WEIGHTS}", "--quality", "0"),
                    *("--places", "40", "--repeats", "4"),
                    *("--tokens", "1000", "2000", "4000", "8000", "16000"),
                ),
                "edits-0.5b.json",
            ),
        ),
        _RANDOM,
    ),
    "finds": _one("retrieval/finds-2000-files.json"),
    "formats": _one("formats.json"),
    "gate": _one("gate-small.json", needs=_RELEASES),
    "index": Benchmark(
        (
            ((), "retrieval/index-10000-files.json"),
            (("--chunks", "100000"), "retrieval/index-100k-chunks.json"),
        ),
        writes_itself=False,
    ),
    "kernels": Benchmark(),
    "negative_contexts": _one("negative-contexts-small.json", needs=_RELEASES),
    "llama_edits": _one("llama-0.5b.json", needs=(str(WEIGHTS / "Q4_0.gguf"),)),
    "many_files": _one("retrieval/many-files.json"),
    "passes": _one("passes-0.5b.json", needs=_RANDOM),
    "search": _one("search-small.json", needs=_RELEASES),
    "server": Benchmark(),
    "speed": _one("speed-0.5b.json", needs=_RANDOM),
    "tokenizers": _one("tokenizers-web.json", "--work", ".work/web", "--steps", "40"),
    "workbench": _one("workbench-latency.json", needs=("vscode",)),
}
# modules of this folder that only help the others
HELPERS = {"__init__", "gguf_writer", "run", "workers"}


def summary(name: str) -> str:
    """The first line of a benchmark's docstring, without importing it."""
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())) or ""
    return text.splitlines()[0] if text else ""


def commands(name: str) -> list[tuple[list[str], Path | None]]:
    """The command lines of a benchmark, each with the file that takes its standard output."""
    benchmark = BENCHMARKS[name]
    found: list[tuple[list[str], Path | None]] = []
    for arguments, file in benchmark.runs:
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        path = RESULTS / file if file else None
        if path and benchmark.writes_itself:
            command += ["--out", str(path)]
            path = None
        found.append((command, path))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("name", nargs="?", help="of a benchmark; without, all are listed")
    name = parser.parse_args().name
    if not name:
        width = max(map(len, BENCHMARKS))
        for each in BENCHMARKS:
            print(f"{each:{width}}  {summary(each)}")
        return
    if name not in BENCHMARKS:
        parser.error(f"there is no benchmark {name!r}: `make bench` lists them")
    for need in BENCHMARKS[name].needs:
        module = [sys.executable, "-m", "warmline_lab.data.releases"]
        subprocess.run(module if need == "releases" else ["make", need], check=True)
    for command, output in commands(name):
        if output is None:
            subprocess.run(command, check=True)
        else:
            found = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            output.write_bytes(found.stdout)
    subprocess.run([sys.executable, "-m", "warmline_lab.report.results_page"], check=True)


if __name__ == "__main__":
    main()
