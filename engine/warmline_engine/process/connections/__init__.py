"""Connections of clients: accepting them, checking them, and limits on what they may queue."""
