"""Hold the steps from one schema to the next; `versions/` has one file per step."""
