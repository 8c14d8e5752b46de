"""What followed the same tokens elsewhere in the file."""
