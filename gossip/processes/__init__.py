"""Who the processes of a job are, how they start and how they end together."""
