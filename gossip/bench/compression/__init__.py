"""What compressors cost and lose."""
