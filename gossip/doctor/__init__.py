"""What is wrong with a place where gossip is to run: `python -m gossip.doctor`, alone or under mpirun or srun."""
