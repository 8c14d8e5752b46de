"""A checkpoint of Qwen2's family as a GGUF file: enough to time llama.cpp with.

`python -m benchmarks.gguf_writer CHECKPOINT OUT`; `make .work/llama/bin/llama-server` installs the package gguf.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

FIM = {
    "fim_pre": "<|fim_prefix|>",
    "fim_suf": "<|fim_suffix|>",
    "fim_mid": "<|fim_middle|>",
    "fim_pad": "<|fim_pad|>",
    "fim_rep": "<|repo_name|>",
    "fim_sep": "<|file_sep|>",
    "eos": "<|endoftext|>",
}


def gguf_name(name: str) -> str:
    """What llama.cpp calls a tensor."""
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def write(folder: Path, out: Path) -> None:
    """Matrices in float16, vectors in float32."""
    import gguf  # pyright: ignore[reportMissingImports]  # only where llama.cpp is measured

    config = json.loads((folder / "config.json").read_text())
    writer: Any = gguf.GGUFWriter(out, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    add_vocabulary(writer, gguf.TokenType, folder, config["vocab_size"])
    with safe_open(folder / "model.safetensors", "pt") as file:
        for name in file.keys():  # noqa: SIM118  # not a dict
            tensor: torch.Tensor = file.get_tensor(name)
            kept = tensor.half() if tensor.ndim == 2 else tensor.float()
            writer.add_tensor(gguf_name(name), kept.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer: Any, types: Any, folder: Path, size: int) -> None:
    """The folder's byte-level BPE; words are split as GPT-2's are, and what the weights have more is unused."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())
    ids: dict[str, int] = vocabulary["model"]["vocab"]
    ids |= {token["content"]: token["id"] for token in vocabulary["added_tokens"]}
    special = {token["content"] for token in vocabulary["added_tokens"] if token["special"]}
    by_id = {number: token for token, number in ids.items()}
    tokens = [by_id.get(number, f"[unused {number}]") for number in range(size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [
            types.CONTROL if token in special else types.NORMAL if token in ids else types.UNUSED
            for token in tokens
        ]
    )
    writer.add_token_merges([" ".join(pair) for pair in vocabulary["model"]["merges"]])
    for name, token in FIM.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", ids[token])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    write(options.checkpoint, options.out)


if __name__ == "__main__":
    main()
