from __future__ import annotations

from tests.support.training import work

__all__ = ["work"]
