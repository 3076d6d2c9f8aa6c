"""Measurements: plain commands that start what they measure and print figures."""
