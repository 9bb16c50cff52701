"""Which method, on which graph, how often and how much compressed: ranked by predicted seconds, with the reasons."""
