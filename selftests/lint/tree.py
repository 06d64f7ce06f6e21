# SPDX-License-Identifier: MIT
"""The files that the checks look at."""
import os
import subprocess


def files():
    """What git has, and what it would take in; in a tree without git, all but what was built."""
    git = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"],
                         capture_output=True, text=True, check=False)
    if git.returncode == 0:
        return sorted(p for p in git.stdout.split("\n") if p and os.path.isfile(p))
    return sorted(os.path.join(d, f)[2:] for d, _, names in os.walk(".") for f in names
                  if not d.startswith(("./build", "./.git")))
