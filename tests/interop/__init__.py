"""Black boxes: real RocketMQ clients, tools and servers against a cluster under test."""
