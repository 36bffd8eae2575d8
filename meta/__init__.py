"""Inner loops: the trainings by which a rule is judged."""
