"""The command `python -m gossip.bench`: times as ratios to baselines that are measured in the same run."""
