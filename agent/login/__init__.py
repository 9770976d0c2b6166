"""Who signs in with a browser, and how does that session last? People at the edge."""
