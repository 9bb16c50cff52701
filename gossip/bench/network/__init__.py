"""What mixing costs."""
