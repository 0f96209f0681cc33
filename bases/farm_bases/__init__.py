"""The base images of farm's examples and tests, made on this machine from Debian packages.

They carry the host's package sources, apt proxies and added CA certificates, so that `apt-get install` works inside a
step wherever it works outside. For the same reason they stay on the machine: nothing made here is published or committed.
"""
