"""Attention and rotation over a cache of unordered slots; each kernel beside its torch twin."""
