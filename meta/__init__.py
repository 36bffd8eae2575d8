"""Inner loops: trainings whose end tells what a rule is worth."""
