"""`python -m warmline_lsp` is the command `warmline`."""

from .cli import main

raise SystemExit(main())
