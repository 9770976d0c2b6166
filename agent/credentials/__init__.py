"""What do we send? One file for each kind of credential, one bounded cache for them all."""
