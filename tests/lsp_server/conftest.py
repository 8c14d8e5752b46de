from __future__ import annotations

from tests.support.fake_engine import runtime

__all__ = ["runtime"]
