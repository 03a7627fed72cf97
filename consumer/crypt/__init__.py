"""The one home of `cryptography`, imported only where bodies are sealed, opened, or keys made."""
