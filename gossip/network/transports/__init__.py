"""How rows go from rank to rank."""
