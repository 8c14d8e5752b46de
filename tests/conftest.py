"""Settings for all tests."""

from __future__ import annotations

import os

import torch

# nothing may be fetched, and one thread is fastest for models this small
os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)
