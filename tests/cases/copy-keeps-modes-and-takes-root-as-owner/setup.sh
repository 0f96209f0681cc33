chmod 4755 t/x
chmod 1777 t/s
chmod 0400 t/s/y
chown 7:8 t/s/y t/s
