"""One module of routes per thing a person asks about."""
