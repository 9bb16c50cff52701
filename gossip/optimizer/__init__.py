"""Gossip in a training loop of one's own."""
