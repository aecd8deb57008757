"""The message bus: calls to other services, our own interfaces as data, the server of them, and who may do what."""
