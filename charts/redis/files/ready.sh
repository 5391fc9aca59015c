#!/bin/sh
# Ready: loaded and able to write. PING answers an error while Redis loads or
# refuses writes because it cannot save.
set -eu
REDISCLI_AUTH=$(cat /run/secrets/redis/password)
export REDISCLI_AUTH
answer=$(redis-cli -h 127.0.0.1 -p 6379 --no-auth-warning ping 2>&1) || true
[ "$answer" = PONG ] || { echo "$answer" >&2; exit 1; }
