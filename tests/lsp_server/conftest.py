from __future__ import annotations

from tests.lsp_server.fake_engine import runtime

__all__ = ["runtime"]
