"""What the tests in a real VS Code share; it needs playwright."""
