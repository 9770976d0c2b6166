"""Which genuine tokens are refused all the same? The list, its sources, what survives a loss."""
