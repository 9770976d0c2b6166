"""What the world has thrown at others, and what chance throws, thrown at Attaché. Never shipped."""
