from __future__ import annotations

from tests.support.training import work, work_made_once

__all__ = ["work", "work_made_once"]
