"""Hooks, and what comes built in through the same hooks as a stranger's plugin."""
