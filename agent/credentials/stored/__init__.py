"""The refresh tokens that we keep: rotated by one writer at a time, and never lost."""
