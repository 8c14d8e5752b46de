"""Finds models: embedded, in a folder, or at Hugging Face."""
