"""Models at Hugging Face that are known to work, with their licence and size."""

from __future__ import annotations

from dataclasses import dataclass

CONTEXT_TOKENS = 8192  # the context for which the memory need is shown


@dataclass(frozen=True)
class Known:
    """`restriction` is empty if the licence allows everybody every use.

    Units: n_bytes of the weights in bf16, cache_bytes of the keys and values of one token.
    """

    model: str
    licence: str
    restriction: str
    n_bytes: int
    cache_bytes: int

    @property
    def memory_bytes(self) -> int:
        """The memory need with one open file of CONTEXT_TOKENS tokens."""
        return self.n_bytes + CONTEXT_TOKENS * self.cache_bytes


_RESEARCH = "not for commercial use"
_RAIL = "forbids some uses; the restrictions travel with the model"

KNOWN = {
    known.model: known
    for known in (
        Known("Qwen/Qwen2.5-Coder-0.5B", "Apache-2.0", "", 988_000_000, 12_288),
        Known("Qwen/Qwen2.5-Coder-1.5B", "Apache-2.0", "", 3_090_000_000, 28_672),
        Known("Qwen/Qwen2.5-Coder-3B", "Qwen Research", _RESEARCH, 6_170_000_000, 36_864),
        Known("Qwen/Qwen2.5-Coder-7B", "Apache-2.0", "", 15_230_000_000, 57_344),
        Known("bigcode/starcoder2-3b", "BigCode OpenRAIL-M", _RAIL, 6_060_000_000, 30_720),
        Known("bigcode/starcoder2-7b", "BigCode OpenRAIL-M", _RAIL, 14_350_000_000, 65_536),
        Known("deepseek-ai/deepseek-coder-1.3b-base", "DeepSeek", _RAIL, 2_690_000_000, 196_608),
        Known("deepseek-ai/deepseek-coder-6.7b-base", "DeepSeek", _RAIL, 13_480_000_000, 524_288),
        Known("ibm-granite/granite-3b-code-base-2k", "Apache-2.0", "", 6_970_000_000, 327_680),
        Known(
            "codellama/CodeLlama-7b-hf",
            "Llama 2 Community",
            "forbids some uses and very large providers; agree at Hugging Face first",
            13_480_000_000,
            524_288,
        ),
        Known(
            "mistralai/Codestral-22B-v0.1",
            "Mistral Non-Production",
            "not for production, not for commercial use; agree at Hugging Face first",
            44_490_000_000,
            229_376,
        ),
    )
}
