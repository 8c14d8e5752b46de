"""One document in the models: its window, its completions."""
