"""What operators see of the daemon: log lines and metrics."""
