"""Everything that speaks to a daemon from outside goes through here."""
