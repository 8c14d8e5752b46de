"""The evaluation's commands and data."""
