#!/bin/bash
# Makes this machine ready: the Python environment in .venv and, with `--with`, the programs beside it.
# usage: dev/setup.sh [--with broker] [--with smtp-sink] [--with redis] [--with faketime] [--with network] [--with debootstrap] [--with image] [--with monitoring] [--with bench] [--with kubernetes]
# PYTHON names the interpreter to build .venv from (default: python3).
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
log=.state/setup.log
extras=consumer,redis,dev
stamp=.venv/.hopmail
policy=/usr/sbin/policy-rc.d

fail() {
  printf '✗ %s\n' "$1" >&2
  exit 1
}

# Bash runs this once the program in the foreground has ended, be it amid a step's redirection.
exec 3>&2
interrupted() {
  printf '\n✗ interrupted\n' >&3
  exit 130
}
trap interrupted INT

# step "what is done" "what to do when it fails" COMMAND…
step() {
  local what=$1 cure=$2 started=$SECONDS
  shift 2
  printf '▸ %s … ' "$what"
  if ! "$@" >"$log" 2>&1 </dev/null; then
    printf 'failed after %d s\n' $((SECONDS - started))
    tail -n 15 "$log" | sed 's/^/  │ /' >&2
    fail "$cure (all of it: $log)"
  fi
  printf '%d s\n' $((SECONDS - started))
}

wanted_packages() {
  [ -x .venv/bin/python ] || "$python" -c 'import ensurepip' 2>/dev/null || echo python3-venv
  [[ $with != *broker* || -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || echo rabbitmq-server
  # smtp-sink is a tool of Postfix; the mail server itself is neither set up nor started.
  [[ $with != *smtp-sink* || -x /usr/sbin/smtp-sink ]] || echo postfix
  [[ $with != *redis* || -x /usr/bin/redis-server ]] || echo redis-server
  [[ $with != *faketime* || -x /usr/bin/faketime ]] || echo faketime
  [[ $with != *network* ]] || command -v ip >/dev/null || echo iproute2
  [[ $with != *debootstrap* || -x /usr/sbin/debootstrap ]] || echo debootstrap
  [[ $with != *image* || -x /usr/sbin/debootstrap ]] || echo debootstrap
  [[ $with != *image* || -x /usr/bin/buildah ]] || echo buildah
  [[ $with != *monitoring* || -x /usr/bin/prometheus ]] || echo prometheus
  [[ $with != *monitoring* || -x /usr/bin/prometheus-node-exporter ]] || echo prometheus-node-exporter
}

# Debian starts a service as soon as it is installed, unless this file forbids it.
forbid_services() {
  [ ! -e "$policy" ] || cp -a "$policy" .state/policy-rc.d
  # The second makes bash wait for apt-get: killed midway, it would leave packages half installed.
  trap allow_services EXIT
  trap 'exit 143' TERM HUP
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

allow_services() {
  trap - EXIT TERM HUP
  rm -f "$policy"
  [ ! -e .state/policy-rc.d ] || mv .state/policy-rc.d "$policy"
}

# --no-remove: a machine's own mail server must not give way to Postfix.
apt_options=(-y -o DPkg::Lock::Timeout=300 --no-install-recommends --no-remove)
export DEBIAN_FRONTEND=noninteractive

install_packages() {
  # One broken source of many does not matter, as long as the packages are found.
  apt-get "${apt_options[@]}" update || true
  [[ " $* " != *" postfix "* ]] ||
    echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
  apt-get "${apt_options[@]}" install --download-only "$@" || return
  # Out of Ctrl-C's reach, as it would leave packages half installed.
  setsid apt-get "${apt_options[@]}" install "$@" || return
  # Nor do they start at the next boot.
  for service in rabbitmq-server postfix redis-server prometheus prometheus-node-exporter; do
    [[ " $* " != *" $service "* ]] || ! command -v systemctl || systemctl disable "$service" || true
  done
}

packages() {
  local wanted line
  wanted=$(wanted_packages | xargs)
  [ -n "$wanted" ] || return 0
  line="apt-get install --no-install-recommends $wanted"
  command -v apt-get >/dev/null ||
    fail "there is no apt-get here: install what Debian calls $wanted, then run this again"
  [ "$(id -u)" = 0 ] || fail "only root can install $wanted: run \`sudo $line\`, then this again"
  forbid_services
  step "installing $wanted from Debian (about 30 s)" \
    "cannot install $wanted: check the network, or run \`$line\` yourself" \
    install_packages $wanted
  allow_services
}

fingerprint() {
  { cat constraints.txt pyproject.toml && pwd && .venv/bin/python -V; } 2>/dev/null | sha256sum
}

# A .venv that was copied or moved is useless: its programs begin with the path it was made at.
is_made_here() {
  grep -qsF -- "$PWD/.venv" .venv/pyvenv.cfg && .venv/bin/python -m pip --version >/dev/null 2>&1
}

environment() {
  # `venv --clear` would empty what the link points to, and pip have it run this checkout.
  [ ! -L .venv ] ||
    fail ".venv is a link to $(readlink .venv), which another checkout may use: remove the link, then run this again"
  if ! is_made_here; then
    step "making the Python environment .venv" \
      "$("$python" -V) cannot make a virtual environment: install its venv module, or set PYTHON" \
      "$python" -m venv --clear .venv
  fi
  step "installing Hopmail's Python packages (about 40 s)" \
    "cannot install the Python packages: check that pip reaches its package index" \
    .venv/bin/python -m pip install --disable-pip-version-check --no-input \
    --constraint constraints.txt --editable ".[$extras]"
  fingerprint >"$stamp"
}

with=
while [ $# -gt 0 ]; do
  case $1 in
    --with) with+=" ${2:?what is it to be set up with?}" && shift 2 ;;
    *) fail "usage: dev/setup.sh [--with broker] [--with smtp-sink] [--with redis] [--with faketime] [--with network] [--with debootstrap] [--with image] [--with monitoring] [--with bench] [--with kubernetes]" ;;
  esac
done

# What Hopmail is measured against: a stamp of its own, as the rest does without.
[[ $with != *bench* ]] || extras+=,bench stamp+=-bench
# The schemas of all Kubernetes: 100 MB.
[[ $with != *kubernetes* ]] || extras+=,kubernetes stamp+=-kubernetes

if [ ! -x .venv/bin/python ]; then
  command -v "$python" >/dev/null || fail "$python not found: install Python 3.11 or later, or set PYTHON"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Hopmail needs Python 3.11 or later, $python is $("$python" -V 2>&1): set PYTHON to a later one"
fi
mkdir -p .state
packages
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ] || environment
