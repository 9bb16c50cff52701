"""The command `python -m gossip.study`: grids of runs, and one page of results."""
