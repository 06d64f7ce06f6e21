# SPDX-License-Identifier: MIT
"""What to boot: "6.1" is the newest 6.1 that a package has, "host" is the running one, a path is an
image. A kernel is (name, image)."""
import glob
import os
import re
import subprocess

import packages


def _host():
    release = os.uname().release
    for image in (f"/boot/vmlinuz-{release}", f"/lib/modules/{release}/vmlinuz"):
        if os.access(image, os.R_OK):
            return release, image
    raise packages.CannotFetch(f"the image of the running kernel ({release}) is not on this machine")


def _cached(series):
    images = glob.glob(os.path.join(packages.cache_folder(), f"linux-image-{series}.*", "boot",
                                    "vmlinuz-*"))
    whole = [image for image in images
             if os.path.exists(os.path.join(os.path.dirname(image), "..", ".whole"))]
    return max(whole, key=packages.version_key) if whole else None


def _package(series):
    """linux-image-6.1.0-56-amd64, linux-image-6.12.117+deb12-amd64, linux-image-6.8.0-45-generic:
    the plain flavour, since others lack 9p or veth."""
    flavour = {"amd64": "amd64|generic", "arm64": "arm64|generic"}.get(packages.architecture())
    if not flavour:
        raise packages.CannotFetch(f"not tried on {packages.architecture()}")
    name, options = packages.find(
        re.compile(rf"linux-image-{re.escape(series)}\.[\d.+deb-]*\d-({flavour})$").match,
        f"linux-image-{series}.")
    if not name:
        raise packages.CannotFetch(f"no package of Linux {series} for this machine")
    folder = packages.fetch(name, options)
    release = name[len("linux-image-"):]
    modules = f"linux-modules-{release}"  # Ubuntu has them in a package of their own
    if modules in packages.names(options, modules):
        subprocess.run(["cp", "-a", packages.fetch(modules, options) + "/.", folder], check=True)
    subprocess.run(["depmod", "-b", folder, release], check=True)
    return os.path.join(folder, "boot", f"vmlinuz-{release}")


def find(what):
    if what == "host":
        return _host()
    if os.path.sep in what:
        if not os.access(what, os.R_OK):
            raise packages.CannotFetch(f"{what} cannot be read")
        return os.path.basename(what).removeprefix("vmlinuz-"), os.path.abspath(what)
    if not re.fullmatch(r"\d+\.\d+", what):
        raise packages.CannotFetch(f'"{what}" is neither a version as 6.1, nor "host", nor a path')
    image = _cached(what) or _package(what)
    return os.path.basename(image).removeprefix("vmlinuz-"), image
