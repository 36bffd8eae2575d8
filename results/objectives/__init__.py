"""Published objectives of reinforcement learning, as rule files."""
