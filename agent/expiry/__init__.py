"""What will expire, when, and what is said of it in time?"""
