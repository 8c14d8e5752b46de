"""How much memory loading takes: the weights once, and never twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from warmline_engine.model import random_checkpoint

CONFIG = {
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 1536,
    "vocab_size": 8000,
    "max_position_embeddings": 64,
}
# what the process has that is no mapped file, looked at every millisecond while it loads
MEASURE = """
import sys, threading, time
from pathlib import Path
import torch
from warmline_engine.model import checkpoint

def own_bytes():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(l for l in status.splitlines() if l.startswith("RssAnon")).split()[1])

peak, done = 0, threading.Event()
def watch():
    global peak
    while not done.is_set():
        peak = max(peak, own_bytes())
        time.sleep(0.001)

dtype = getattr(torch, sys.argv[2])
torch.ones(8, 8).to(dtype) @ torch.ones(8, 8).to(dtype)  # what torch sets up at its first use
before = own_bytes()
watcher = threading.Thread(target=watch)
watcher.start()
model = checkpoint.load(Path(sys.argv[1]), dtype=dtype)
done.set()
watcher.join()
print(max(peak, own_bytes()) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(("stored", "shards"), [("float32", 1), ("bfloat16", 3)])
def test_weights_are_in_memory_once(stored: str, shards: int, tmp_path: Path) -> None:
    random_checkpoint.write(CONFIG, tmp_path, dtype=getattr(torch, stored), shards=shards)
    n_stored = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    n_bytes = n_stored * 2 // getattr(torch, stored).itemsize
    command = [sys.executable, "-c", MEASURE, str(tmp_path), "bfloat16"]
    measured = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    largest = 8000 * 512 * 4  # one tensor, while it is converted
    enough = n_bytes + largest + 16 * 2**20
    assert enough < 1.5 * n_bytes, "a second copy would be seen"
    assert int(measured.stdout) < enough
