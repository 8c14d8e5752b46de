"""Attention and rotation over a cache of unordered slots; each kernel has a reference in torch."""

import os
import sys

# `python -m` puts the current folder first, where a project's `json.py` would be taken for Python's. It says `-m` for
# as long as it looks for the module, which is in this package
if sys.argv[:1] == ["-m"] and not (sys.flags.safe_path or os.environ.get("PYTHONSAFEPATH")):
    del sys.path[0]
    os.environ["PYTHONSAFEPATH"] = "1"
