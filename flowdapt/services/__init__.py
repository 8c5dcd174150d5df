"""The long-lived parts of the daemon; they meet in the store and never call each other."""
