"""How good retrieval is."""
