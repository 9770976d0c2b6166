"""What does a pod need beside the agent itself?"""
