"""Eigenvalues, and what follows from them."""
