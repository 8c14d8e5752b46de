"""Decides which model of a pair generates the next token."""
