#!/bin/sh
# Starts Redis. The password comes from the mounted Secret and is handed over on
# standard input: it is in no argument, no environment and no file of ours.
set -eu

data=${REDIS_DATA:-/data}
conf=${REDIS_CONF:-/etc/redis/redis.conf}
secret=${REDIS_PASSWORD_FILE:-/run/secrets/redis/password}

# With the AOF on only its manifest says what is loaded: without one Redis starts
# empty and then overwrites what is there with nothing.
manifest=$data/appendonlydir/appendonly.aof.manifest
left=
for file in "$data"/dump.rdb "$data"/appendonlydir/*.incr.aof; do
  # An empty one is what a first start leaves that was cut short.
  if [ -s "$file" ]; then left=$file; fi
done
if [ -n "$left" ] && [ ! -s "$manifest" ]; then
  echo "refusing to start: $left is there but not $manifest; started like this Redis" >&2
  echo "would be empty. Restore the whole appendonlydir, or, with dump.rdb alone:" >&2
  echo "start it once with appendonly no, run CONFIG SET appendonly yes, wait for" >&2
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
