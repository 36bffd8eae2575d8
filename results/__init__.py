"""Published rules with their evidence, and what reports on rules and runs."""
