"""`make demo`: a real edit of a real file, typed through the language server."""
