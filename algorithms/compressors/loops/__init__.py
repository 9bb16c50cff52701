"""Compiled loops, and the same in torch."""
