test ! -e m || chmod 755 a
