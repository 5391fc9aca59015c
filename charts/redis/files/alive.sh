#!/bin/sh
# Alive: anything answers, an error too. Restarting a Redis that refuses writes
# because its disk is full would lose what only its memory holds.
set -eu
REDISCLI_AUTH=$(cat /run/secrets/redis/password)
export REDISCLI_AUTH
exec redis-cli -h 127.0.0.1 -p 6379 --no-auth-warning ping
