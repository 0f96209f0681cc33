for n in plain gz xz bz2 zst; do echo 1 > from-$n; tar --owner=0 --group=0 -cf $n from-$n; rm from-$n; done
gzip -n gz && mv gz.gz gz
xz xz && mv xz.xz xz
bzip2 bz2 && mv bz2.bz2 bz2
zstd -q --rm zst && mv zst.zst zst
