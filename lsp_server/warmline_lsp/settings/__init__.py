"""Settings and their scopes."""
