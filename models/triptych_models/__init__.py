"""Model tooling: from published weights to a verified bundle, without torch."""
