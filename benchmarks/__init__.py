"""What the platform costs over the bare runtime, and what it is ahead of its peers."""
