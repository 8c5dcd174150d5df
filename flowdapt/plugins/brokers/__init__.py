"""Built-in brokers: how events reach the services of one or several daemons."""
