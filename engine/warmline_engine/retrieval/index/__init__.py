"""The workspace's index on disk."""
