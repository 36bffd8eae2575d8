"""What candidates are tried on, and in which order."""
