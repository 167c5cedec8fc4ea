"""The contract's messages and what postprocess means by them, there and back."""
