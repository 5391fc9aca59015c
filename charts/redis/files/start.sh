#!/bin/sh
# Starts Redis. The password comes from the mounted Secret and is handed over on
# standard input: it is in no argument, no environment and no file of ours.
set -eu

data=${REDIS_DATA:-/data}
conf=${REDIS_CONF:-/etc/redis/redis.conf}
secret=${REDIS_PASSWORD_FILE:-/run/secrets/redis/password}

# With the AOF on, an RDB alone is not loaded: Redis would start empty and then
# overwrite it with nothing.
if [ -e "$data/dump.rdb" ] && [ ! -d "$data/appendonlydir" ]; then
  echo "refusing to start: $data holds dump.rdb but no appendonlydir; started like this Redis" >&2
  echo "would be empty. Start it once with appendonly no, run CONFIG SET appendonly yes, wait for" >&2
  echo "the rewrite, then start it this way again." >&2
  exit 1
fi

if [ ! -s "$secret" ]; then
  echo "refusing to start: $secret is empty or not there" >&2
  exit 1
fi
# In a quoted string of redis.conf a backslash and a double quote are escaped.
password=$(sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' "$secret")

exec redis-server "$conf" - <<EOF
requirepass "$password"
EOF
