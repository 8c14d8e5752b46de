"""The evaluation's command and plan."""
