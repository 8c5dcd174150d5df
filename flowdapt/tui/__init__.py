"""The terminal UI: a separate process that knows only the socket."""
