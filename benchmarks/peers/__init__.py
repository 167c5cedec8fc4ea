"""What a user would run instead, each in an environment of its own."""
