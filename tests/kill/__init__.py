"""`python -m tests.kill`: kill -9 of a real container at random moments under load, and what is left then."""
