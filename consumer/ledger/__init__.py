"""Never twice: what became of every recipient of every message, for longer than copies live."""
