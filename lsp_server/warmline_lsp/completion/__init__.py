"""What is asked of the engine, and what is shown."""
