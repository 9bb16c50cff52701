"""What a run leaves behind for its reader."""
