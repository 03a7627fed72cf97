"""Everything that talks to RabbitMQ: the only importer of pika in the consumer."""
