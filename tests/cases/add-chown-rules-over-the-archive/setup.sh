echo 1 > f && tar --owner=5 --group=6 -cf t.tar f
