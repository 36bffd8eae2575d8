"""The methods: each puts strategy, curriculum, problem and observers together for one command."""
