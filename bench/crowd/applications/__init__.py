"""Applications that make calls in every way that loses, mixes up or outlives a request."""
