"""What rules are tried on: supervised tasks, and environments of reinforcement learning."""
