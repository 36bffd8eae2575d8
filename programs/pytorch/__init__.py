"""Rules in PyTorch: the words, what applies a rule to parameters, and the files that need only torch.

A program runs here as it does in JAX, through the same compiler, by a second table of the same words. This package is
imported only where torch is asked for, an optional dependency.
"""
