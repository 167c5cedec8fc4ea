"""Fine-tunes an encoder with a head for sequences, pairs or tokens, and makes a bundle of it."""
