"""What does an application look like that leaves the question of who calls to its sidecar?

Ordinary FastAPI and Flask programs with ordinary HTTP clients. They read who is calling from the
headers that the sidecar writes (`x-auth-…`), and call each other by plain names.
"""
