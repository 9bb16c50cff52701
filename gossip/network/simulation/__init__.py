"""Networks to simulate: nodes in hosts, hosts at switches, with links that messages share."""
