"""What does each kind of issuer promise about its tokens? One file for each kind."""
