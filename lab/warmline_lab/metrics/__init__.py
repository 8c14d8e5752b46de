"""How good completions are: measures, held-out holes, an n-gram model to compare with."""
