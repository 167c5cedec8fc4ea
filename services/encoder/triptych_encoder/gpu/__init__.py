"""The encoder on an NVIDIA GPU: batches packed on the host, run without padding."""
