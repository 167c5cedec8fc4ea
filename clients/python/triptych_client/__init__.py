"""What is said to a running platform from outside; knows its REST API and nothing of its parts."""
