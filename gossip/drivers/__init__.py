"""What moves an algorithm on."""
