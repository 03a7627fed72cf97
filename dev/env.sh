#!/bin/sh
# Makes .env of .env.example, with a new password for each name that ends in _PASSWORD.
set -eu
cd "$(dirname "$0")/.."

if [ -e .env ]; then
  echo '✗ there is an .env already, whose passwords the volumes may know: add what .env.example has more, or remove it first' >&2
  exit 1
fi

password() {
  LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 32
}

umask 077
while IFS= read -r line; do
  case $line in
    *_PASSWORD=) line=$line$(password) ;;
  esac
  printf '%s\n' "$line"
done <.env.example >.env.new
mv .env.new .env
echo '✓ .env: passwords made; look at RELAY_URL, then `docker compose up --build`'
