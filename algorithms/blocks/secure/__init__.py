"""Secure aggregation: a server learns a sum of vectors, and none of the vectors."""
