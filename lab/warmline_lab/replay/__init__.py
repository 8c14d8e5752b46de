"""Replayed edits: what editing the cache costs in quality."""
