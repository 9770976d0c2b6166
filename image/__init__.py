"""The images of a pod: what they are built from, and what is in them."""
