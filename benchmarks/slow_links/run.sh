#!/bin/bash
# Real training of 8 ranks behind slow links: each in a network namespace of its own, on a bridge, with a token bucket in
# each direction. As root, with MPICH:
#
#   benchmarks/slow_links/run.sh            5 minutes when quiet; writes results/*.json and results.md beside this file
#   benchmarks/slow_links/run.sh --quick    a minute or two; prints the same table, of 20 steps each, and writes nothing
#
# PYTHON says which Python (.venv/bin/python by default), with mpirun beside it. The namespaces are taken down however
# this ends; their names begin with gsl and its process number.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
python=${PYTHON:-$root/.venv/bin/python}
mpirun=$(dirname "$python")/mpirun
nodes=8
prefix=gsl$$n
switch=gsl$$s
quick=()
case "${1:-}" in
"") ;;
--quick) quick=(--quick) ;;
*) echo "run.sh: $1 is no option; there is --quick" >&2 && exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "run.sh: only root may make network namespaces; use sudo" >&2 && exit 2; }
for tool in ip tc "$python" "$mpirun"; do
  command -v "$tool" >/dev/null || { echo "run.sh: there is no $tool; install iproute2, or say PYTHON=..." >&2 && exit 2; }
done

down() {
  for i in $(seq 0 $((nodes - 1))); do ip netns del "$prefix$i" 2>/dev/null || true; done
  ip netns del "$switch" 2>/dev/null || true
}
scratch=$(mktemp -d)
launched=
finish() {
  [ -z "$launched" ] || { kill "$launched" 2>/dev/null && wait "$launched" || true; }
  down
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

up() { # rate
  ip netns add "$switch"
  ip -n "$switch" link add br0 type bridge
  ip -n "$switch" link set br0 up
  for i in $(seq 0 $((nodes - 1))); do
    ip netns add "$prefix$i"
    ip link add eth0 netns "$prefix$i" type veth peer name "p$i" netns "$switch"
    ip -n "$switch" link set "p$i" master br0
    ip -n "$switch" link set "p$i" up
    ip -n "$prefix$i" addr add "10.78.0.$((i + 1))/24" dev eth0
    ip -n "$prefix$i" link set lo up
    ip -n "$prefix$i" link set eth0 up
    ip netns exec "$prefix$i" tc qdisc add dev eth0 root tbf rate "$1" burst 64kb latency 100ms
    ip netns exec "$switch" tc qdisc add dev "p$i" root tbf rate "$1" burst 64kb latency 100ms
  done
}

export PYTHONPATH=$root OMP_NUM_THREADS=1 GOSSIP_NAMESPACES=$prefix GLOO_SOCKET_IFNAME=eth0
export FI_PROVIDER=tcp MPIR_CVAR_CH4_NETMOD=ofi MPIR_CVAR_NOLOCAL=1 # or else ranks would meet in shared memory
# Else MPICH asks before it sends a long message, and the answer queues behind what the other one is sending:
export MPIR_CVAR_CH4_OFI_EAGER_THRESHOLD=1000000
for rate in 100mbit 1gbit; do
  up "$rate"
  "$mpirun" -n $nodes "$here/wrap.sh" "$python" "$here/train.py" --rate "$rate" --address 10.78.0.1:29517 \
    --json "$scratch/$rate.json" "${quick[@]}" &
  launched=$!
  wait "$launched"
  launched=
  down
done
if [ ${#quick[@]} = 0 ]; then
  mkdir -p "$here/results"
  cp "$scratch"/*.json "$here/results/"
  "$python" "$here/tables.py" "$here"/results/*.json | tee "$here/results.md"
else
  "$python" "$here/tables.py" "$scratch"/*.json
fi
