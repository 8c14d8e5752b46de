"""Settings for all tests."""

from __future__ import annotations

import os

# processes that tests start inherit this; one thread is fastest for models this small
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import settings

# fixtures that tests of several folders use
pytest_plugins = ["tests.support.models"]

# nothing may be fetched; and Triton reads how it is to run when it is first imported
os.environ["HF_HUB_OFFLINE"] = "1"
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
torch.set_num_threads(1)

# no deadline: how long an example takes says nothing on a busy machine
settings.register_profile("moderate", deadline=None, max_examples=50)
settings.register_profile("deep", deadline=None, max_examples=400)  # make test PROFILE=deep
settings.load_profile("moderate")

# they need a browser and code-server: make e2e
collect_ignore_glob = [] if "WARMLINE_WORKBENCH" in os.environ else ["workbench/*"]
