"""Where a model is: embedded, in a folder, or at Hugging Face."""
