"""Contracts of what can be exchanged; a port's docstring is its contract."""
