"""Who is calling? Strict tokens, issuers, keys, and the `Principal` that comes of them."""
