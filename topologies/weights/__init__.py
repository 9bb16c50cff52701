"""Rules for mixing matrices."""
