"""Loads a folder of safetensors as a Transformer, without a second copy of the weights in memory.

This file is longer than 300 lines because it checks every tensor where it is read, in the order of the model.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from warmline_engine.errors import CheckpointError, ConfigError
from warmline_engine.model.hub.reading import (
    MAX_CONFIG_BYTES,
    MAX_INDEX_BYTES,
    read_bytes,
    read_json,
    regular_size,
    shown,
)
from warmline_kernels.memory import give_back

from .config import ModelConfig
from .hub.sources import weight_files
from .layers import Layer, Norm
from .quant.compact import Compact, Rescored, compact
from .quant.linear import Linear, compact_rows
from .quant.quantization import CODES, SCALES, Packed, Scheme
from .transformer import Transformer

MAX_SHARDS = 1000
MAX_HEADER_BYTES = 1 << 24  # of one safetensors file: the list of its tensors
MAX_LISTED = 20  # of what is wrong
STORED_DTYPES = ("F64", "F32", "F16", "BF16")
LARGE_HEAD = 2**25  # weights; below it looking for the highest logits takes what 4 bits save
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def read_config(folder: Path) -> ModelConfig:
    """Reads the folder's config.json.

    Raises: ConfigError, also if the file is missing or not JSON.
    """
    return ModelConfig.from_hugging_face(_read_json(folder / "config.json"))


def load(
    folder: Path,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[float], None] = lambda _: None,
    decode_format: str = "",
    is_few_alone: bool = False,
) -> Transformer:
    """Loads the model in a folder, with its weights in the given dtype and on the given device.

    Weights in bf16 are kept in the format `decode_format` of `compact.FORMATS` too, for products of few rows; with
    `is_few_alone` in that only, but for the embedding. "" is none. On a GPU that takes the kernels for it.

    Raises: ConfigError; CheckpointError, which lists every tensor that is missing or misshapen.
    """
    config = read_config(folder)
    with ExitStack() as stack:
        tensors = _Tensors(folder, config, stack, device or torch.device("cpu"), dtype)
        tensors.check()
        model = _assemble(config, tensors, progress, Formats(decode_format, is_few_alone))
    give_back()
    return model


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights by name, in float32, whatever their stored format.

    Raises: as `load`.
    """
    config = read_config(folder)
    with ExitStack() as stack:
        tensors = _Tensors(folder, config, stack, torch.device("cpu"), torch.float32)
        tensors.check()
        return {name: tensors.take(name) for name in config.tensor_shapes()}


def fingerprint(folder: Path) -> str:
    """Twelve hex digits that change when the model does: from its config, sizes and a sample of its bytes."""
    config = read_bytes(folder / "config.json", MAX_CONFIG_BYTES, ConfigError)
    digest = hashlib.sha256(config)
    for path in weight_files(folder):
        size = regular_size(path, CheckpointError)
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            for k in range(64):
                file.seek(size * k // 64)
                digest.update(file.read(4096))
    return digest.hexdigest()[:12]


def _read_json(path: Path, most_bytes: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    try:
        return read_json(path, most_bytes, ConfigError)
    except FileNotFoundError:
        raise ConfigError(
            f"{path.name} is missing in {path.parent}; a model folder needs it"
        ) from None


def _check_header(path: Path) -> None:
    """Checks that a file is safetensors with a header of bounded size: the library reads all of it into memory.

    Raises: CheckpointError.
    """
    try:
        size = regular_size(path, CheckpointError)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if size < 8 or length > size - 8:
        raise CheckpointError(
            f"{path.name} in {path.parent} is damaged or cut off (its header has {length} bytes, the file {size}); "
            "download it again"
        )
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{path}: a header of {length} bytes; at most {MAX_HEADER_BYTES} are read"
        )


class _Tensors:
    """The tensors of all shards, memory-mapped and read one at a time."""

    def __init__(
        self,
        folder: Path,
        config: ModelConfig,
        stack: ExitStack,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._folder, self._device, self.dtype = folder, device, dtype
        self._shapes = config.tensor_shapes()
        self._scheme = Scheme.of(_read_json(folder / "config.json"))
        self._file_of: dict[str, Any] = {}
        for path in self._shards():
            _check_header(path)
            try:
                file = stack.enter_context(safe_open(path, "pt"))
            except (SafetensorError, OSError) as error:
                raise CheckpointError(
                    f"{path.name} in {folder} is damaged or cut off ({shown(str(error))}); download it again"
                ) from None
            self._file_of.update(dict.fromkeys(file.keys(), file))

    def _shards(self) -> list[Path]:
        index = self._folder / "model.safetensors.index.json"
        if index.exists():
            weight_map = _read_json(index, MAX_INDEX_BYTES).get("weight_map")
            if not isinstance(weight_map, dict):
                raise CheckpointError(f"{index} has no weight_map")
            return self._named(set(weight_map.values()) if _all_text(weight_map) else set())
        single = self._folder / "model.safetensors"
        if single.exists():
            return [single]
        if any(self._folder.glob("*.bin")) or any(self._folder.glob("*.pt")):
            raise CheckpointError(
                f"{self._folder} has a pickle checkpoint, which can run code; Warmline never loads it; "
                "convert it to safetensors or download the safetensors version"
            )
        raise CheckpointError(f"{self._folder} has no model.safetensors")

    def _named(self, names: set[str]) -> list[Path]:
        """The files that an index names. The index is untrusted: its names may not lead out of the folder."""
        if not 1 <= len(names) <= MAX_SHARDS:
            raise CheckpointError(
                f"{self._folder}: the index names {len(names)} files; expected 1 to {MAX_SHARDS}"
            )
        for name in names:
            is_plain = name == os.path.basename(name) and not set(name) & set("\\:\0")
            if not is_plain or not name.endswith(".safetensors"):
                raise CheckpointError(
                    f"{self._folder} lacks weights: {shown(name)} in the index is not the name of a safetensors file"
                )
        missing = sorted(name for name in names if not (self._folder / name).exists())
        if missing:
            raise CheckpointError(
                f"{self._folder} lacks {_listed(missing, ', ')}; download them again"
            )
        return [self._folder / name for name in sorted(names)]

    def check(self) -> None:
        """Compares the files' headers with the tensors that the config needs.

        Raises: CheckpointError.
        """
        problems: list[str] = []
        for name, expected in self._stored_shapes().items():
            if name not in self._file_of:
                problems.append(f"{name} is missing")
                continue
            stored = self._file_of[name].get_slice(name)
            shape, dtype = tuple(stored.get_shape()), stored.get_dtype()
            if shape != expected:
                problems.append(f"{name} is {list(shape)}, expected {list(expected)}")
            dtypes = self._scheme.stored_dtypes if self._scheme else {}
            wanted = next((d for end, d in dtypes.items() if name.endswith(end)), dtype)
            if dtype != wanted:
                problems.append(f"{name} is {dtype}, expected {wanted}")
            elif not any(name.endswith(end) for end in dtypes) and dtype not in STORED_DTYPES:
                problems.append(f"{name} is {dtype}, expected one of {', '.join(STORED_DTYPES)}")
        if problems:
            raise CheckpointError(
                f"{self._folder}: {len(problems)} tensors do not match config.json: {_listed(problems, '; ')}"
            )

    def _stored_shapes(self) -> dict[str, tuple[int, ...]]:
        if self._scheme is None:
            return self._shapes
        stored: dict[str, tuple[int, ...]] = {}
        for name, shape in self._shapes.items():
            stored |= self._scheme.tensor_shapes(name, shape)
        return stored

    def take(self, name: str) -> Tensor:
        return self._read(name).to(self._device, self.dtype)

    def _read(self, name: str) -> Tensor:
        if self._scheme is None or name in self._file_of:
            return self._file_of[name].get_tensor(name)
        codes, scales = (
            self._file_of[name + end].get_tensor(name + end) for end in (CODES, SCALES)
        )
        return Packed(self._scheme, codes, scales).unpacked()

    def joined(self, names: list[str]) -> Tensor:
        """Several tensors, concatenated by rows; each is converted directly into its place."""
        shapes = [self._shapes[name] for name in names]
        n_rows = sum(shape[0] for shape in shapes)
        out = torch.empty((n_rows, *shapes[0][1:]), dtype=self.dtype, device=self._device)
        row = 0
        for name, shape in zip(names, shapes, strict=True):
            out[row : row + shape[0]] = self._read(name)
            row += shape[0]
        return out


def _all_text(weight_map: dict[str, Any]) -> bool:
    return all(isinstance(name, str) for name in weight_map.values())


def _listed(entries: list[str], between: str) -> str:
    more = len(entries) - MAX_LISTED
    return between.join(entries[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class Formats:
    """The format of the copy for few rows, and whether it is the only one."""

    decode_format: str
    is_few_alone: bool

    def linear(self, weight: Tensor, bias: Tensor | None) -> Linear:
        return self._linear(
            weight, bias, compact(weight, self.decode_format) if self.decode_format else None
        )

    def head(self, weight: Tensor, is_tied: bool) -> Linear:
        """Keeps the full head too: 4 bits alone cost nine times as much quality here as in all layers together."""
        is_kept = is_tied or not self.is_few_alone
        is_rescored = self.decode_format == "int4" and is_kept and weight.numel() >= LARGE_HEAD
        copy = Rescored.of(weight) if is_rescored else None
        if copy is None and self.decode_format:
            copy = compact(weight, "int8")
        return self._linear(weight, None, copy)

    def _linear(self, weight: Tensor, bias: Tensor | None, copy: Compact | None) -> Linear:
        return Linear(None if copy and self.is_few_alone else weight, bias, copy)


def _assemble(
    config: ModelConfig,
    tensors: _Tensors,
    progress: Callable[[float], None],
    formats: Formats,
) -> Transformer:
    embedding = tensors.take("model.embed_tokens.weight")
    layers: list[Layer] = []
    for index in range(config.n_layers):
        layers.append(_layer(config, tensors, f"model.layers.{index}.", formats))
        progress((index + 1) / config.n_layers)
    head = embedding if config.is_head_tied else tensors.take("lm_head.weight")
    norm = _norm(config, tensors, "model.norm")
    model = Transformer(config, embedding, layers, norm, formats.head(head, config.is_head_tied))
    return model.with_few_rows(compact_rows(model.parts()))


def _layer(config: ModelConfig, tensors: _Tensors, root: str, formats: Formats) -> Layer:
    def linear(names: list[str], has_bias: bool) -> Linear:
        weight = tensors.joined([f"{root}{name}.weight" for name in names])
        bias = tensors.joined([f"{root}{name}.bias" for name in names]) if has_bias else None
        return formats.linear(weight, bias)

    def head_norm(name: str) -> Norm | None:
        return (
            Norm(tensors.take(f"{root}self_attn.{name}.weight"), None)
            if config.has_qk_norm
            else None
        )

    up, down = (["mlp.gate_proj", "mlp.up_proj"], "mlp.down_proj")
    if not config.is_gated:
        up, down = ["mlp.c_fc"], "mlp.c_proj"
    return Layer(
        norm_in=_norm(config, tensors, f"{root}input_layernorm"),
        qkv=linear([f"self_attn.{n}_proj" for n in "qkv"], config.has_qkv_bias),
        query_norm=head_norm("q_norm"),
        key_norm=head_norm("k_norm"),
        out=linear(["self_attn.o_proj"], config.has_out_bias),
        norm_mlp=_norm(config, tensors, f"{root}post_attention_layernorm"),
        up=linear(up, config.has_mlp_bias),
        down=linear([down], config.has_mlp_bias),
    )


def _norm(config: ModelConfig, tensors: _Tensors, name: str) -> Norm:
    bias = tensors.take(f"{name}.bias") if config.norm == "layer" else None
    return Norm(tensors.take(f"{name}.weight"), bias)
