mkdir link && echo 1 > link/f && tar --owner=0 --group=0 -cf t.tar link/f && rm -r link
