"""Which model answers: the repository followed, names resolved, fallbacks and shadows."""
