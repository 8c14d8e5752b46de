"""From a request to its answers: the greedy one, syntax repair, search, alternatives."""
