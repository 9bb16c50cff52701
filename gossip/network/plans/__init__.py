"""Who needs what of whom."""
