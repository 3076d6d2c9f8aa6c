"""One broker: its request processors, tables, services and registration."""

from broker.broker import Broker, BrokerState, BrokerStatistics
from broker.config import BrokerConfig

__all__ = ["Broker", "BrokerConfig", "BrokerState", "BrokerStatistics"]
