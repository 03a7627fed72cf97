#!/bin/sh
# Starts the broker with the definitions beside this file, the passwords put in from the environment.
set -eu
umask 077

commands=
for name in PUBLISHER_PASSWORD CONSUMER_PASSWORD OPERATOR_PASSWORD DEPLOY_PASSWORD; do
  eval "value=\${$name:-}"
  case $value in
    '' | *[!A-Za-z0-9]*)
      echo "$name must be given, of letters and digits only" >&2
      exit 78
      ;;
  esac
  commands="$commands
s/\${$name}/$value/"
  unset "$name"
done
# Not as an argument, which everyone on the host can see.
printf '%s\n' "$commands" | sed -f - "$(dirname "$0")/definitions.json" >/run/hopmail/definitions.json

exec rabbitmq-server
