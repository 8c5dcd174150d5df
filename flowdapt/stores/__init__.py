"""Where resources, runs and the journal are kept: rows are private to this package."""
