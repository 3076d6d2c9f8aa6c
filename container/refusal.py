"""Why a process does not start, as one sentence and one exit code.

Exit codes are those of Java's `BrokerContainerStartup`; they are negative there, and a process can only end
with 0 to 255.
"""

from __future__ import annotations

__all__ = ["EXIT_FAILURE", "EXIT_NO_HOME", "EXIT_REFUSED", "BootRefusedError"]

EXIT_FAILURE = 255
"""-1: a wrong configuration file, a start that failed."""
EXIT_NO_HOME = 254
"""-2: the home directory is unknown."""
EXIT_REFUSED = 253
"""-3: a malformed name server address, a slave with id 0 or less, invalid numbers of replicas."""


class BootRefusedError(Exception):
    """The process must not start as it is configured.

    Args:
        message: one sentence for the operator.
        exit_code: what the process ends with.
        remark: Java's text in the answer to ADD_BROKER, where it has one for this case.
    """

    def __init__(self, message: str, exit_code: int = EXIT_FAILURE, *, remark: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.remark = remark
