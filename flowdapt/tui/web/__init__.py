"""The terminal UI in a browser: each tab is one more process of it, on a terminal of its own.

Served on loopback only, to whoever holds the link; `main.serve` is all that the command line calls.
"""
