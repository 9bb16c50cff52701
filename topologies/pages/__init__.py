"""HTML pages: their style, and what they are put together from."""
