"""When the small model answers, and when the large one."""
