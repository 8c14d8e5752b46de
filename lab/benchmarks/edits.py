"""What an edit costs, measured: `make bench NAME=edits`.

Each kind of edit is made at random places of a text that is in the cache. It counts the tokens run through the model
and the time from the edit to the logits of the first token, next to a cold read of the same tokens in the same run.
Quality is measured on trained models only: the first token and the divergence from a cold read, with nothing
refreshed.

This file is longer than 300 lines because one benchmark is one file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from warmline_engine.errors import EngineError
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.session import loaded_model
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.session import Session
from warmline_engine.text.tokenized_text import TokenizedText
from warmline_protocol import processes
from warmline_protocol.broken_pipe import ends_with_reader
from warmline_protocol.model_names import typed

PASTED_LINES = 50
LONG_MS = 10_000


@dataclass(frozen=True)
class Row:
    """One kind of edit at one length of context. Times are medians, in milliseconds.

    `step_ms` is a pass of one token behind the same context: what is left of an edit's time is what the edit costs.
    """

    kind: str
    n_tokens: int
    n_places: int
    encoded_median: float
    encoded_p99: float
    first_token_ms: float
    first_token_p99_ms: float
    step_ms: float
    cold_ms: float
    share_of_cold: float
    top1_agreement: float | None
    kl_nats: float | None


class Bench:
    """A text in a session, edited and put back again and again."""

    def __init__(self, model: LoadedModel, text: str, seed: int) -> None:
        self._model = model
        self._random = random.Random(seed)
        self.session = Session(model, text, len(text) // 2, 1 << 20)
        self._original = text
        self._settle()

    def _settle(self) -> None:
        """Reads what is pending and makes everything fresh."""
        while self.session.encode_some(512) or self.session.refresh_some(512):
            pass

    def _place(self) -> int:
        """A random place at the end of a line that says something."""
        text = self.session.text
        while True:
            end = text.find("\n", self._random.randrange(len(text)))
            if end > 0 and not text[end - 1].isspace():
                return end

    def kinds(self) -> dict[str, Callable[[], int]]:
        """Each kind of edit: makes one, and gives the place of the cursor after it."""
        return {
            "type at the cursor": self._type,
            "jump and type": self._jump_and_type,
            "insert a line elsewhere": self._insert_elsewhere,
            "delete a line elsewhere": self._delete_elsewhere,
            f"paste {PASTED_LINES} lines": self._paste,
            "jump of the cursor": self._place,
            "accept": self._accept,
        }

    def _type(self) -> int:
        at = self.session.cursor
        self.session.edit(at, at, self._random.choice("abcdefxyz_.(="))
        return at + 1

    def _jump_and_type(self) -> int:
        at = self._place()
        self.session.edit(at, at, self._random.choice("abcdefxyz_.(="))
        return at + 1

    def _insert_elsewhere(self) -> int:
        cursor, at = self.session.cursor, self._place()
        line = "\n    count = len(items) + offset"
        self.session.edit(at, at, line)
        return cursor + len(line) if at <= cursor else cursor

    def _delete_elsewhere(self) -> int:
        cursor, end = self.session.cursor, self._place()
        start = self.session.text.rfind("\n", 0, end)
        start = max(start, 0)
        if start <= cursor <= end:
            return cursor
        self.session.edit(start, end, "")
        return cursor - (end - start) if end <= cursor else cursor

    def _paste(self) -> int:
        at = self._place()
        lines = self._original.split("\n")
        first = self._random.randrange(max(1, len(lines) - PASTED_LINES))
        pasted = "\n" + "\n".join(lines[first : first + PASTED_LINES])
        self.session.edit(at, at, pasted)
        return at + len(pasted)

    def _accept(self) -> int:
        at = self.session.cursor
        self.session.edit(at, at, self._offered)
        return at + len(self._offered)

    _offered = "result = self.value(index)"

    def _choose_place(self, kind: str) -> float:
        """Puts the cursor somewhere, with all that is read there, and an offer to accept; as `prepare`."""
        session = self.session
        place = self._place()
        session.move_cursor(place)
        self._settle_cheaply()
        session.logits_at(place)
        begin = time.perf_counter()
        session.logits_at(place)  # where nothing has changed, the last token alone is encoded again
        step_ms = (time.perf_counter() - begin) * 1000
        if kind == "accept":
            from warmline_engine.session.query import CompletionQuery

            session.complete(
                CompletionQuery(place, self._offered, 1, False, 1, None, lambda: False)
            )
        return step_ms

    def _settle_cheaply(self) -> None:
        while self.session.encode_some(512):
            pass

    def measure(
        self, kind: str, make: Callable[[], int], n_places: int, cold_ms: float, n_quality: int
    ) -> Row:
        """Runs one kind of edit at n_places places."""
        encoded: list[int] = []
        times: list[float] = []
        steps: list[float] = []
        for _ in range(n_places):
            steps.append(self.prepare(kind))
            before, begin = self.session.n_encoded, time.perf_counter()
            self.session.logits_at(make())
            times.append((time.perf_counter() - begin) * 1000)
            encoded.append(self.session.n_encoded - before)
        agreement, divergence = self._quality(kind, make, n_quality)
        median = statistics.median(times)
        return Row(
            kind=kind,
            n_tokens=self.session.n_tokens,
            n_places=n_places,
            encoded_median=statistics.median(encoded),
            encoded_p99=_percentile(encoded, 0.99),
            first_token_ms=median,
            first_token_p99_ms=_percentile(times, 0.99),
            step_ms=statistics.median(steps),
            cold_ms=cold_ms,
            share_of_cold=median / cold_ms,
            top1_agreement=agreement,
            kl_nats=divergence,
        )

    def prepare(self, kind: str) -> float:
        """What comes before the clock starts: the last edit taken back, as a person's undo does, and another place.

        The milliseconds of a pass of one token there.
        """
        session, original = self.session, self._original
        text = session.text
        if text != original:
            head = _common(text, original)
            tail = _common(text[head:][::-1], original[head:][::-1])
            session.edit(head, len(text) - tail, original[head : len(original) - tail])
        return self._choose_place(kind)

    def _quality(
        self, kind: str, make: Callable[[], int], n_quality: int
    ) -> tuple[float | None, float | None]:
        if n_quality == 0:
            return None, None
        agree, divergences = 0, list[float]()
        for _ in range(n_quality):
            self.prepare(kind)
            self._settle()
            if kind == "accept":
                self._choose_place(kind)
            served = self.session.logits_at(make()).log_softmax(-1)
            cold = self.cold()[0].log_softmax(-1)
            agree += int(served.argmax() == cold.argmax())
            divergences.append(float((cold.exp() * (cold - served)).sum()))
        return agree / n_quality, statistics.fmean(divergences)

    def cold(self) -> tuple[torch.Tensor, float]:
        """The logits of a cold read of the text as it is, and its milliseconds."""
        session, model = self.session, self._model
        text = TokenizedText(model.tokenizer, model.layout, session.text, session.cursor)
        begin = time.perf_counter()
        logits = ColdRead(model.transformer, text.ids, slice(-1, None)).logits[0]
        return logits, (time.perf_counter() - begin) * 1000

    def cold_ms(self) -> float:
        """The median of some cold reads; the first warms up, unless it takes so long that this does not show."""
        first = self.cold()[1]
        more = [self.cold()[1] for _ in range(1 if first > LONG_MS else 3)]
        return statistics.median([first, *more] if first > LONG_MS else more)


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with alike, by halving."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _percentile(values: list[int] | list[float], share: float) -> float:
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


def text_of(model: LoadedModel, source: str, n_tokens: int) -> str:
    """The beginning of a source that makes about n_tokens tokens, whole lines; repeated where it is short."""
    while True:
        encoded = model.tokenizer.encode(source)
        if n_tokens < len(encoded.ids):
            break
        source = source + "\n\n" + source
    end = int(encoded.starts[n_tokens])
    return source[: source.rfind("\n", 0, end) + 1]


def run(options: argparse.Namespace) -> Iterator[Row]:
    """All rows, printed as they come."""
    model = loaded_model.load(options.model, options.device, options.dtype, cache_mebibytes=8192)
    source = options.file.read_text(encoding="utf-8")
    for n_tokens in options.tokens:
        longest = model.transformer.config.max_context - 900  # room for a paste
        bench = Bench(model, text_of(model, source, min(n_tokens, longest)), options.seed)
        cold_ms = bench.cold_ms()
        for kind, make in bench.kinds().items():
            n_places = options.places if "type" in kind else options.repeats
            row = bench.measure(kind, make, n_places, cold_ms, options.quality)
            if not options.json:
                show(row)
            yield row


def machine() -> str:
    """What the numbers were measured on: processor, cores, torch."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, torch {torch.__version__}"


def commit() -> str:
    """The commit of the checkout that is measured, empty outside of one."""
    here = Path(__file__).resolve().parent
    try:
        found = processes.run(
            ["git", "rev-parse", "--short", "HEAD"], folder=here, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


def show(row: Row) -> None:
    quality = ""
    if row.top1_agreement is not None:
        quality = f"  top-1 {row.top1_agreement:.0%}  KL {row.kl_nats:.4f}"
    print(
        f"{row.n_tokens:6} tokens  {row.kind:26} encoded {row.encoded_median:5.0f} (p99 {row.encoded_p99:.0f})"
        f"  first token {row.first_token_ms:8.1f} ms (p99 {row.first_token_p99_ms:.1f},"
        f" one step {row.step_ms:.1f})"
        f"  cold {row.cold_ms:8.0f} ms  share {row.share_of_cold:.2%}{quality}",
        flush=True,
    )


@ends_with_reader
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__)
    parser.add_argument("what", choices=("edits",))
    default = Path(sysconfig.get_path("stdlib")) / "argparse.py"
    parser.add_argument(
        "--file", type=Path, default=default, help="text to edit; argparse.py without"
    )
    parser.add_argument(
        "--model",
        type=typed,
        default="base",
        help="embedded name, Hugging Face id or folder (./x, ~/x, /x)",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16", "int8", "int4")
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=[2000, 8000])
    parser.add_argument("--places", type=int, default=500, help="places for typing")
    parser.add_argument("--repeats", type=int, default=20, help="places for all other kinds")
    parser.add_argument(
        "--quality", type=int, default=4, help="comparisons with a cold read a kind"
    )
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one object: machine, options, rows")
    parser.add_argument("--out", type=Path, help="write the same object to this file")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    rows: list[dict[str, object]] = []
    found = {
        "model": options.model,
        "machine": machine(),
        "commit": commit(),
        "threads": torch.get_num_threads(),
        "seed": options.seed,
        "rows": rows,
    }
    try:
        for row in run(options):
            rows.append(asdict(row))
            if options.out:  # after each: long contexts take minutes
                options.out.write_text(json.dumps(found, indent=1) + "\n")
    except BrokenPipeError:
        raise
    except (EngineError, OSError) as error:
        raise SystemExit(f"edits: {error}") from None
    if options.json:
        print(json.dumps(found))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
