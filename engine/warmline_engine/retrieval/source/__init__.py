"""Files of a workspace: which ones, and their parts."""
