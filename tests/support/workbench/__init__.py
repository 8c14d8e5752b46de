"""Shared code of the tests in a real VS Code; needs playwright."""
