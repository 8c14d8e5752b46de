"""`python -m warmline_lsp` is the command `warmline`."""

from .commands.cli import main

raise SystemExit(main())
