"""The consumer daemon.

A delivery's way: `amqp.consume` → `amqp.inbox` → `worker` (decode → compose → transact → decide)
→ `amqp.settle`. Imports point downward:
`__main__` > `cli` > `daemon` > `amqp | smtp | ops | worker` > `settings` > `core`.
"""
