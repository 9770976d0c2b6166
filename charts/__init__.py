"""What do the charts accept? Their values' model, and what is generated from it."""
