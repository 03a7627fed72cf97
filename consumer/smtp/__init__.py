"""The conversation with the relay: sessions, transactions and what their replies mean."""
