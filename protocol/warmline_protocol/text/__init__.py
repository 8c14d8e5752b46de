"""Rules about texts that both the server and the engine apply."""
