"""Operators that keep some entries."""
