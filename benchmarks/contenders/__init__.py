"""What a web developer would use instead, as its own documentation says to use it."""
