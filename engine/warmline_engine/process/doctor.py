"""What `warmline doctor` reports about the engine, as JSON on standard output.

The server imports nothing of the engine, so it runs this module as a process. It loads neither torch nor a kernel.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from warmline_kernels import verified
from warmline_kernels.native.processors import for_this_machine


def report() -> dict[str, Any]:
    """The embedded models and the kernels that run here; `gpu` is None if no GPU has been checked."""
    models = Path(__file__).resolve().parent.parent / "models"
    library, checked = for_this_machine(), verified.read()
    return {
        "models_folder": str(models),
        "models": sorted(path.parent.name for path in models.glob("*/model.safetensors")),
        "cpu_kernels": library.stem if library else None,
        "gpu": {
            "device": checked.device,
            "commit": checked.commit,
            "date": checked.date,
            "unchecked": checked.missing,
        }
        if checked
        else None,
    }


if __name__ == "__main__":
    print(json.dumps(report()))
