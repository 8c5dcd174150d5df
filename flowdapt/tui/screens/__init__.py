"""One screen a file; `VIEWS` in `catalogue` says which there are."""
