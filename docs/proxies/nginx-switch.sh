#!/bin/sh
# Says where nginx leads key backup, by the content of snippets/room-keys.conf, which the server block includes:
#   sh docs/proxies/nginx-switch.sh off      to the homeserver, as if the file were not there
#   sh docs/proxies/nginx-switch.sh moving   nowhere: 503, clients keep their keys and try again
#   sh docs/proxies/nginx-switch.sh on       to the key backup server
# It ends when every request that began before has ended. Folder and pid file of nginx are Debian's.
set -eu
conf=${NGINX_CONF:-/etc/nginx}
pid=${NGINX_PID:-/run/nginx.pid}
snippet=$conf/snippets/room-keys.conf
cd "$(dirname "$0")"

mkdir -p "$conf/snippets"
case ${1:-} in
  off) : > "$snippet.new" ;;
  moving) cat nginx-moving.conf > "$snippet.new" ;;
  on)
    [ -e "$conf/conf.d/room-keys.conf" ] ||
      sed -n '/^upstream room_keys/,/^}/p' nginx.conf > "$conf/conf.d/room-keys.conf"
    sed -n '/^ *location ~ .*room_keys/,/^    }/p' nginx.conf > "$snippet.new"
    ;;
  *)
    echo "usage: $0 off|moving|on" >&2
    exit 2
    ;;
esac

# Atomically: another reload, for example by certbot, may come at any time.
[ ! -e "$snippet" ] || cp -p "$snippet" "$snippet.old"
mv "$snippet.new" "$snippet"
if ! nginx -t -q; then
  [ ! -e "$snippet.old" ] || mv "$snippet.old" "$snippet"
  exit 1
fi

# The workers that run now finish their requests with the configuration that they have.
workers=$(pgrep -P "$(cat "$pid")" || true)
nginx -s reload
for worker in $workers; do
  while [ -e "/proc/$worker" ]; do sleep 0.1; done
done
