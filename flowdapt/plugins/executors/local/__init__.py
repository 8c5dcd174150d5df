"""The local executor: one warm child process per slot."""
