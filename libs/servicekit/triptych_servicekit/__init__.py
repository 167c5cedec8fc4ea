"""What every Triptych service shares and nothing about models."""
