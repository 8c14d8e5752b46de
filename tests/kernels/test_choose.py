"""Which kernels run where: on a CPU the twins, on a GPU Triton's once a GPU has passed their tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from warmline_kernels import choose, reference, verified
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


@pytest.mark.parametrize("is_like_the_twins", [True, False])
def test_a_checked_gpu_runs_triton_where_it_does_as_the_twins(
    is_like_the_twins: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    monkeypatch.setattr(choose, "agree", lambda _: is_like_the_twins)
    record = tmp_path / "verified.json"
    record.write_text(json.dumps(RECORD))
    assert kernels_for(GPU, record) is (triton_kernels if is_like_the_twins else reference)


def test_the_kernels_agree_here() -> None:
    pytest.importorskip("triton")
    choose.agree.cache_clear()
    assert choose.agree(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


@pytest.mark.parametrize("kernel", ["attention", "rotate", "store", "gated"])
@pytest.mark.parametrize("fault", ["raises", "is off", "is no number"])
def test_a_kernel_that_fails_here_is_heard(
    kernel: str, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    triton_kernels = pytest.importorskip("warmline_kernels.triton_kernels")
    plain = getattr(reference, kernel)

    def faulty(*arguments: Any) -> Any:
        if fault == "raises":
            raise RuntimeError("no such instruction")
        found = plain(*arguments)
        amount = 0.5 if fault == "is off" else float("nan")
        if kernel == "rotate":
            arguments[1].add_(amount)
        elif kernel == "store":
            arguments[-1][1].add_(amount)
        else:
            found = found + amount
        return found

    monkeypatch.setattr(triton_kernels, kernel, faulty)
    choose.agree.cache_clear()
    assert not choose.agree(CPU)
    choose.agree.cache_clear()
    assert "tokens come slower" in caplog.text


def test_what_is_recorded_can_be_read() -> None:
    found = verified.read()
    assert found is not None
    assert found.device
    assert found.commit
