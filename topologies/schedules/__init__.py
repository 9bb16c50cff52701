"""Topologies that change from round to round."""
