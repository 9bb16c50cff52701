"""A run: its specification, and how it is carried out."""
