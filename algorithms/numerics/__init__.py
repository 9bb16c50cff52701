"""Sums, norms and threads that give the same bits everywhere."""
