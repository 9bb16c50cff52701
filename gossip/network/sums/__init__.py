"""Weighted sums of rows, in one pass over memory."""
