"""For whom is this outbound call? The correlation handle, its bounded store, the resolution."""
