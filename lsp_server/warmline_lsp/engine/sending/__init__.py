"""What is sent to the engine: documents, and requests that wait for answers."""
