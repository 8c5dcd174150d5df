"""Parts that screens are made of; everything they draw goes through `safe`."""
