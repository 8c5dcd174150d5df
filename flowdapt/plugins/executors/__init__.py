"""Built-in executors, one package each; they do not know each other."""
