"""Which kernels run where: on a CPU the twins, on a GPU Triton's once a GPU has passed their tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from warmline_kernels import reference
from warmline_kernels.choose import kernels_for

CPU, GPU = torch.device("cpu"), torch.device("cuda")
RECORD = {"device": "a GPU", "commit": "0123abc", "date": "2026-01-01", "rows": []}


def test_a_cpu_runs_the_twins_whatever_was_verified(tmp_path: Path) -> None:
    record = tmp_path / "verified.json"
    record.write_text(json.dumps(RECORD))
    assert kernels_for(CPU, record) is reference


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"device": "a GPU"}'])
def test_a_gpu_runs_the_twins_until_it_is_checked(content: str | None, tmp_path: Path) -> None:
    record = tmp_path / "verified.json"
    if content is not None:
        record.write_text(content)
    assert kernels_for(GPU, record) is reference


def test_a_checked_gpu_runs_triton(tmp_path: Path) -> None:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    record = tmp_path / "verified.json"
    record.write_text(json.dumps(RECORD))
    assert kernels_for(GPU, record) is triton_kernels
