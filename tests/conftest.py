"""Settings for all tests."""

from __future__ import annotations

import os

import torch
from hypothesis import settings

# fixtures that tests of several folders use
pytest_plugins = ["tests.support.models"]

# nothing may be fetched; and Triton reads how it is to run when it is first imported
os.environ["HF_HUB_OFFLINE"] = "1"
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
# one thread is fastest for models this small
torch.set_num_threads(1)

# how long an example takes says nothing on a busy machine
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# they need a browser and code-server: make e2e
collect_ignore_glob = [] if "WARMLINE_WORKBENCH" in os.environ else ["workbench/*"]
