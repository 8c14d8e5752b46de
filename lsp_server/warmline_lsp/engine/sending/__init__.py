"""Sends documents and requests to the engine, and keeps track of its answers."""
