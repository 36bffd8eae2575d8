"""What candidates are worth: the problems of the engine that train agents."""
