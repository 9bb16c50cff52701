"""Graph files as other programs write them: unpacking, guessing the format, reading, putting in order."""
