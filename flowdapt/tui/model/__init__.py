"""What the TUI knows, without a terminal: state made from the daemon's answers and events."""
