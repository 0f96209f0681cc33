chmod 0600 d/s/x
chmod 0700 d/s
