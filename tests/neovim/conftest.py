"""These tests need a Neovim and pynvim, which `make e2e-neovim` fetches; they stay out of other runs."""

from __future__ import annotations

import os

collect_ignore_glob = [] if "WARMLINE_NEOVIM" in os.environ else ["test_*"]
