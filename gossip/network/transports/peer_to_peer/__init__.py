"""Rows as MPI messages."""
