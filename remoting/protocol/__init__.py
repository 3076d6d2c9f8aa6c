"""Codes, headers, bodies and message layout of the RocketMQ protocol, as data without I/O."""
