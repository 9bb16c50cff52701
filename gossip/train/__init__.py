"""The command `python -m gossip.train`."""
