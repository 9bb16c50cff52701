"""Pieces that algorithms share: data and what is done with it."""
