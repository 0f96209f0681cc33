mkdir t && cd t
echo 1 > f && mkdir s && ln -s f l && mknod -m 600 n c 1 3
echo 2 > h1 && ln h1 h2
chown -h 5:6 f s l && chmod 4750 f && chmod 1777 s
tar -cf ../t.tar f s l n h1 h2 && cd .. && rm -r t
