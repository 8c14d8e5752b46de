"""How fast a large model and the embedded one read and decode on this CPU, beside others: `make bench NAME=speed`.

Weights are random, of the shape of Qwen2.5-Coder-0.5B: speed does not depend on them. All take turns, for some rounds,
since other machines share this one's memory: each one's best counts, and a ratio is the median of those within a
round. A peer that is missing is reported as absent.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import edits
from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.decoding.greedy import likeliest
from warmline_engine.model import checkpoint
from warmline_engine.session import loaded_model

OURS = ("bfloat16", "int8", "int4")
LLAMA = {"F16": "f16.gguf", "Q8_0": "Q8_0.gguf", "Q4_0": "Q4_0.gguf"}
CONTEXT, READ, DECODED, LINE = 512, 512, 32, 12
N_ROUNDS, N_RUNS = 3, 3  # rounds, and runs of each in a round, of which the best counts
BESIDE = ("warmline int4", "warmline int4 alone", "warmline int8")  # each beside every peer


def resident_mebibytes() -> float:
    """Memory that is this process's own; what is mapped from files can be dropped at any time."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return float("nan")


def ours(folder: Path, name: str, is_few_alone: bool) -> dict[str, Any]:
    """The best of N_RUNS reads of READ tokens, and of as many runs of DECODED passes behind CONTEXT tokens; tokens a
    second, as llama.cpp's own benchmark measures them.
    """
    before = resident_mebibytes()
    decode_format = "" if name in checkpoint.DTYPES else name
    begin = time.perf_counter()
    model = checkpoint.load(
        folder, dtype=torch.bfloat16, decode_format=decode_format, is_few_alone=is_few_alone
    )
    load_s = time.perf_counter() - begin
    weights = resident_mebibytes() - before
    config = model.config
    shape = RowShape(
        config.n_layers, config.n_kv_heads, config.head_size, torch.bfloat16, model.device
    )
    ids = np.random.default_rng(0).integers(0, config.n_vocabulary, CONTEXT).tolist()
    reads: list[float] = []
    sequence = KVSequence(model, Arena(shape, 1 << 30))
    for _ in range(N_RUNS):
        sequence.truncate(0)
        sequence.splice(0, 0, ids)
        begin = time.perf_counter()
        sequence.encode_pending(READ)
        reads.append(READ / (time.perf_counter() - begin))
    token, runs = likeliest(sequence.next_logits()), list[float]()
    for _ in range(N_RUNS):
        begin = time.perf_counter()
        for _ in range(DECODED):
            token = likeliest(sequence.append(token))
        runs.append(DECODED / (time.perf_counter() - begin))
        sequence.truncate(CONTEXT)
    return {
        "read": max(reads),
        "decode": max(runs),
        "load_s": load_s,
        "weights_mebibytes": weights,
        "resident_mebibytes": resident_mebibytes(),
        "few_rows": model.parts(1)[0].few_rows,
    }


def of_transformers(folder: Path) -> dict[str, Any]:
    """The same of transformers, eager, in bf16."""
    from transformers import AutoModelForCausalLM, DynamicCache

    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, attn_implementation="eager"
    )
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (1, CONTEXT))
    with torch.inference_mode():
        reads, cache = list[float](), DynamicCache()
        for _ in range(2):
            cache = DynamicCache()
            begin = time.perf_counter()
            model.model(torch.from_numpy(ids), past_key_values=cache)
            reads.append(READ / (time.perf_counter() - begin))
        token, runs = torch.tensor([[1]]), list[float]()
        for _ in range(N_RUNS):
            begin = time.perf_counter()
            for _ in range(DECODED // 4):  # it is slow, and nothing depends on how many
                logits = model(token, past_key_values=cache).logits
                token = logits[:, -1].argmax(-1, keepdim=True)
            runs.append(DECODED // 4 / (time.perf_counter() - begin))
    return {"read": max(reads), "decode": max(runs)}


def of_llama(program: Path, weights: Path, n_threads: int) -> dict[str, Any]:
    """The same of llama.cpp, as its own benchmark measures it."""
    command = [str(program), "-m", str(weights), "-p", str(READ), "-n", str(DECODED), "-d", "0",
               "-t", str(n_threads), "-r", str(N_RUNS), "-o", "json"]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, Any] = {}
    for row in json.loads(answer.stdout):
        found["read" if row["n_prompt"] else "decode"] = max(row["samples_ts"])
        found["build"] = row["build_commit"]
    return found


def line_of_small() -> dict[str, Any]:
    """Milliseconds of LINE tokens of the embedded model behind a file that is in the cache: no drafts, no prompt."""
    model = loaded_model.load("small", "cpu")
    text = Path(argparse.__file__).read_text()[:12000]
    sequence = KVSequence(model.transformer, model.arena)
    sequence.splice(0, 0, model.tokenizer.encode(text).ids)
    while sequence.encode_pending(512):
        pass
    times: list[float] = []
    n_before = len(sequence)
    for _ in range(20):
        sequence.truncate(n_before)
        begin = time.perf_counter()
        logits = sequence.next_logits()
        for _ in range(LINE - 1):
            logits = sequence.append(likeliest(logits))
        times.append((time.perf_counter() - begin) * 1000)
    return {"ms": float(np.median(times)), "least_ms": min(times), "n_tokens": n_before}


def apart(what: str, options: argparse.Namespace) -> dict[str, Any]:
    """One measurement in its own process, so that its memory can be measured."""
    command = [sys.executable, __file__, "--model", str(options.model), "--only", what]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if answer.returncode:
        return {"failed": answer.stderr.strip().splitlines()[-1]}
    return json.loads(answer.stdout.splitlines()[-1])


def only(what: str, folder: Path) -> dict[str, Any]:
    if what == "transformers":
        return of_transformers(folder)
    if what == "line":
        return line_of_small()
    name, _, alone = what.partition(" ")
    return ours(folder, name, bool(alone))


def show(name: str, row: dict[str, Any]) -> None:
    if "read" not in row:
        print(f"{name:28} {row.get('absent') or row}", flush=True)
        return
    memory = f"{row['weights_mebibytes']:6.0f} MiB of weights" if "weights_mebibytes" in row else ""
    print(
        f"{name:28} reads {row['read']:6.1f}  decodes {row['decode']:6.1f} tokens a second  {memory}",
        flush=True,
    )


def one_round(options: argparse.Namespace, n_threads: int) -> dict[str, dict[str, Any]]:
    """Each program once."""
    rows: dict[str, dict[str, Any]] = {}

    def add(name: str, row: dict[str, Any]) -> None:
        rows[name] = row
        show(name, row)

    for name in (*OURS, "int8 alone", "int4 alone"):
        add(f"warmline {name}", apart(name, options))
    for name, file in LLAMA.items():
        program, weights = options.llama_bench, options.model / file
        is_there = program.exists() and weights.exists()
        missing = {"absent": f"absent: needs {program} and {weights}"}
        add(f"llama.cpp {name}", of_llama(program, weights, n_threads) if is_there else missing)
    add("transformers eager", apart("transformers", options))
    return rows


def best_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of one program with its highest rates."""
    rates = {
        rate: max(row[rate] for row in rows)
        for rate in ("read", "decode")
        if all(rate in row for row in rows)
    }
    return {**rows[0], **rates}


def ratios_of(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Ours over each peer's, the median of those within a round."""
    peers = [name for name, row in rounds[0].items() if "warmline" not in name and "read" in row]
    return {
        f"{ours} : {peer}": {
            rate: float(np.median([each[ours][rate] / each[peer][rate] for each in rounds]))
            for rate in ("read", "decode")
        }
        for ours in BESIDE
        for peer in peers
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(".work/qwen05b"))
    parser.add_argument("--llama-bench", type=Path, default=Path(".work/llama/bin/llama-bench"))
    parser.add_argument("--rounds", type=int, default=N_ROUNDS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(only(options.only, options.model)))
        return
    n_threads = torch.get_num_threads()
    rounds = [one_round(options, n_threads) for _ in range(options.rounds)]
    rows = {name: best_of([each[name] for each in rounds]) for name in rounds[0]}
    print(f"the best of {options.rounds} rounds", flush=True)
    for name, row in rows.items():
        show(name, row)
    ratios = ratios_of(rounds)
    for name, ratio in ratios.items():
        print(
            f"{name:44} reads {ratio['read']:.2f} and decodes {ratio['decode']:.2f} times as fast"
        )
    line = apart("line", options)
    print(f"a line of small, {LINE} tokens", line)
    found = {
        "machine": edits.machine(),
        "commit": edits.commit(),
        "threads": n_threads,
        "rounds": options.rounds,
        "rows": rows,
        "ratios": ratios,
        "line_of_small": line,
    }
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
