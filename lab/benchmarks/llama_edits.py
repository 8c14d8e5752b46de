"""From an edit to the first token, beside llama.cpp's server: `make bench NAME=llama_edits`.

The same edits of the same text are made in a Warmline session, and requested from `llama-server` at `/infill` with
`--cache-reuse`, prefix first as it comes and suffix first (`--spm-infill`). Before the clock runs both have read the
text as it was. Weights are random, of the shape of Qwen2.5-Coder-0.5B; ours in the format given, its in GGUF.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks import edits
from warmline_engine.session import loaded_model

LAYOUTS = {"prefix first": [], "suffix first": ["--spm-infill"]}
REUSED = 256  # tokens a piece must have to be moved in llama.cpp's cache
READY_S = 120
KINDS = ("type at the cursor", "jump and type", "insert a line elsewhere", f"paste {edits.PASTED_LINES} lines",
         "jump of the cursor")  # fmt: skip


class LlamaServer:
    """A server on loopback with one slot."""

    def __init__(self, port: int) -> None:
        self._port = port

    def infill(self, prefix: str, suffix: str) -> tuple[float, int]:
        """Milliseconds from the request to one token, and how many tokens it has read for it."""
        body = {
            "input_prefix": prefix,
            "input_suffix": suffix,
            "prompt": "",
            "n_predict": 1,
            "temperature": 0,
            "cache_prompt": True,
        }
        begin = time.perf_counter()
        answer = self._ask("POST", "/infill", json.dumps(body))
        return (time.perf_counter() - begin) * 1000, answer["timings"]["prompt_n"]

    def wait(self) -> None:
        """Raises: TimeoutError."""
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            try:
                if self._ask("GET", "/health", "").get("status") == "ok":
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise TimeoutError(f"llama-server is not ready after {READY_S} s")

    def _ask(self, method: str, path: str, body: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def llama_server(program: Path, weights: Path, more: list[str]) -> Iterator[LlamaServer]:
    """One that has the cores of this machine; it ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # /infill cuts a text to three quarters of a batch before the cursor and one behind it
    command = [str(program), "-m", str(weights), "-c", "10240", "-b", "40960", "-ub", "512", "-np", "1",
               "-t", str(torch.get_num_threads()), "--cache-reuse", str(REUSED), "--no-webui",
               "--host", "127.0.0.1", "--port", str(port), *more]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server = LlamaServer(port)
        server.wait()
        yield server
    finally:
        process.terminate()
        process.wait(30)


def measured(
    edits: edits.Bench, kind: str, n_places: int, server: LlamaServer | None
) -> dict[str, Any]:
    """Medians over places: ours without a server, the server's with one."""
    times, encoded = list[float](), list[int]()
    make, session = edits.kinds()[kind], edits.session
    for _ in range(n_places):
        edits.prepare(kind)
        if server is None:
            before, begin = session.n_encoded, time.perf_counter()
            session.logits_at(make())
            times.append((time.perf_counter() - begin) * 1000)
            encoded.append(session.n_encoded - before)
        else:
            server.infill(session.text[: session.cursor], session.text[session.cursor :])
            cursor = make()
            ms, n_read = server.infill(session.text[:cursor], session.text[cursor:])
            times.append(ms)
            encoded.append(n_read)
    return {"ms": statistics.median(times), "encoded": statistics.median(encoded)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(".work/qwen05b"))
    parser.add_argument("--dtype", default="int4")
    parser.add_argument("--server", type=Path, default=Path(".work/llama/bin/llama-server"))
    parser.add_argument("--gguf", default="Q4_0.gguf", help="in the model's folder")
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--places", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    weights = options.model / options.gguf
    needed = (
        (options.server, "make .work/llama/bin/llama-server"),
        (weights, "make bench NAME=llama_edits"),
    )
    for path, made_by in needed:
        if not path.exists():
            raise SystemExit(f"{path} is missing: `{made_by}` makes it")
    model = loaded_model.load(str(options.model), "cpu", options.dtype, cache_mebibytes=4096)
    source = (Path(sysconfig.get_path("stdlib")) / "argparse.py").read_text()
    text = edits.text_of(model, source, options.tokens)

    def measure(server: LlamaServer | None = None) -> dict[str, dict[str, Any]]:
        # from the same seed and in the same order, so that all make the same edits
        bench = edits.Bench(model, text, seed=0)
        return {kind: measured(bench, kind, options.places, server) for kind in KINDS}

    ours = edits.Bench(model, text, seed=0)
    n_tokens, cold_ms = ours.session.n_tokens, ours.cold_ms()
    by_system = {"warmline": measure()}
    for layout, more in LAYOUTS.items():
        with llama_server(options.server, weights, more) as server:
            by_system[layout] = measure(server)
    rows = {kind: {name: found[kind] for name, found in by_system.items()} for kind in KINDS}
    print(f"{n_tokens} tokens, a cold read {cold_ms:.0f} ms")
    for kind, row in rows.items():
        mine = row["warmline"]["ms"]
        print(
            f"{kind:26} {mine:7.1f} ms ({row['warmline']['encoded']:.0f} tokens), a cold read {cold_ms / mine:.0f} x"
        )
        for layout in LAYOUTS:
            its = row[layout]
            print(
                f"    llama.cpp, {layout}: {its['ms']:7.0f} ms ({its['encoded']:.0f} tokens)  {its['ms'] / mine:.1f} x"
            )
    found = {
        "machine": edits.machine(),
        "commit": edits.commit(),
        "dtype": options.dtype,
        "gguf": options.gguf,
        "n_tokens": n_tokens,
        "places": options.places,
        "cold_ms": cold_ms,
        "rows": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
