"""Numbers that change from step to step."""
