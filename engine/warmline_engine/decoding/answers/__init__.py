"""The answers to a request: greedy decoding, syntax repair, search, alternatives."""
