"""Operators that keep a few directions of matrices."""
