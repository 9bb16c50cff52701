"""What `python -m topologies` prints and draws."""
