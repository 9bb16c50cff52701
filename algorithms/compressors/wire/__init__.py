"""Packed rows: their bytes, and what codes them."""
