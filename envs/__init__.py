"""What rules are tried on."""
