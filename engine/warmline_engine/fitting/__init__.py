"""Decides what of a generated text is suggested."""
