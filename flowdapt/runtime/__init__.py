"""What lives inside a worker and what stage code imports; never trio or the daemon."""
