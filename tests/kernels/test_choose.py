"""Which kernels run where: on a CPU the twins, on a GPU Triton's once a GPU has passed their tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from warmline_kernels import choose, reference, verified
from warmline_kernels.choose import kernels_for
from warmline_kernels.verified import MODULES

CPU, GPU = torch.device("cpu"), torch.device("cuda")
RECORD = {"device": "a GPU", "commit": "0123abc", "date": "2026-01-01", "rows": []}


def recorded(path: Path, *kernels: str) -> Path:
    path.write_text(json.dumps({**RECORD, "kernels": kernels}))
    return path


def test_a_cpu_runs_the_twins_whatever_was_verified(tmp_path: Path) -> None:
    record = recorded(tmp_path / "verified.json", *MODULES)
    assert kernels_for(CPU, record) is reference


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '{"device": "a GPU"}', json.dumps(RECORD)]
)
def test_a_gpu_runs_the_twins_until_it_is_checked(content: str | None, tmp_path: Path) -> None:
    record = tmp_path / "verified.json"
    if content is not None:
        record.write_text(content)
    assert kernels_for(GPU, record) is reference


def test_every_kernel_has_a_twin() -> None:
    pytest.importorskip("triton")
    for name in MODULES:
        assert callable(choose.reference_of(name))
        assert getattr(choose.of_triton(frozenset({name})), name) is not choose.reference_of(name)


def test_a_checked_gpu_runs_what_was_checked_and_does_as_the_twins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    agreeing = frozenset(MODULES) - {"rotate"}
    monkeypatch.setattr(choose, "agreeing", lambda _: agreeing)
    record = recorded(
        tmp_path / "verified.json", "attention", "rotate", "write_kv", "of another day"
    )
    kernels = kernels_for(GPU, record)
    fast = {name for name in MODULES if choose.is_fast(kernels, name)}
    assert fast == {"attention", "write_kv"}
    assert choose.is_fast(kernels)
    assert not choose.is_fast(kernels, "attention", "swiglu")
    monkeypatch.setattr(choose, "agreeing", lambda _: frozenset({"attention"}))
    assert not choose.is_fast(kernels_for(GPU, record))
    monkeypatch.setattr(choose, "agreeing", lambda _: frozenset())
    assert kernels_for(GPU, record) is reference


def test_the_kernels_agree_here() -> None:
    pytest.importorskip("triton")
    choose.agreeing.cache_clear()
    here = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert choose.agreeing(here) == frozenset(MODULES)


@pytest.mark.parametrize("kernel", MODULES)
@pytest.mark.parametrize("fault", ["raises", "is off", "is no number"])
def test_a_kernel_that_fails_here_is_heard_and_left_out(
    kernel: str, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = pytest.importorskip(f"warmline_kernels.{MODULES[kernel]}")
    plain = choose.reference_of(kernel)

    def faulty(*arguments: Any) -> Any:
        if fault == "raises":
            raise RuntimeError("no such instruction")
        found = plain(*arguments)
        amount = 0.5 if fault == "is off" else float("nan")
        if kernel == "rotate":
            arguments[1].add_(amount)
        elif kernel == "write_kv":
            arguments[-1][1].add_(amount)
        elif kernel == "add_rms_norm":
            found = found[0], found[1] + amount
        elif kernel == "statistics":
            found[1] += amount
        else:
            found = found + amount
        return found

    monkeypatch.setattr(module, kernel, faulty)
    # the others are compared above; here they would cost half a second for each fault
    load = choose._of_triton
    monkeypatch.setattr(
        choose,
        "_of_triton",
        lambda name: load(name) if name == kernel else choose.reference_of(name),
    )
    choose.agreeing.cache_clear()
    assert choose.agreeing(CPU) == frozenset(MODULES) - {kernel}
    choose.agreeing.cache_clear()
    assert f"{kernel} " in caplog.text
    assert "tokens come slower" in caplog.text


def test_what_is_recorded_can_be_read() -> None:
    found = verified.read()
    assert found is not None
    assert found.device
    assert found.commit
    assert found.kernels <= frozenset(MODULES)
