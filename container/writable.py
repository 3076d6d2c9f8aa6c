"""Whether a broker may write where it is told to, asked before anything is opened.

A store makes some of its directories and files only when the first message comes: without this question a
broker would start, take messages from the network and find out then.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from container.broker_plan import BrokerPlan

__all__ = ["check_writable"]


def check_writable(plan: BrokerPlan) -> None:
    """Looks at the directories of the store, and where they do not exist yet at the one they go into.

    Raises:
        OSError: one of them cannot be written, or is not a directory; `filename` says which.
    """
    root = plan.store_config.store_path_root_dir
    below = [os.path.join(root, name) for name in ("config", "commitlog", "consumequeue", "index")]
    for path in dict.fromkeys([*plan.paths(), *below]):
        existing = os.path.abspath(path)
        while not os.path.lexists(existing):
            existing = os.path.dirname(existing)
        if not os.path.isdir(existing):
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory", existing)
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "cannot be written: Permission denied", existing)
