"""The `hopmail` command's groups, one module each."""
