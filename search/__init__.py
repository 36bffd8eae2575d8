"""The engine: ask, evaluate, tell; strategies, curricula, executors, and the store of a run."""
