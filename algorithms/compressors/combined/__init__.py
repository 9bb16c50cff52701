"""Operators made of operators."""
