"""Requests to the engine, and the suggestions made from its answers."""
