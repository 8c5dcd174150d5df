"""The REST face of the daemon, served on a local socket."""
