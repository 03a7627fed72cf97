"""What may be told of an exception."""


def place_of(error: BaseException | None) -> str:
    """Name the exception and its place, never its text: that may hold a body."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "unknown"
    return f"{type(error).__name__} in {place}"
