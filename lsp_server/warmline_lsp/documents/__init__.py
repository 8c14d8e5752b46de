"""Text of open documents."""
