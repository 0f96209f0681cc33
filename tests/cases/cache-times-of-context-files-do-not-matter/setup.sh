touch -d "@$((RANDOM * 30000))" a
