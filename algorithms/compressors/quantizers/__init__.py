"""Operators that round entries."""
