"""Built-in actions of trigger rules, registered by name."""
