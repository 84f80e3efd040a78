#!/bin/sh
# Process 1 of a node: makes the mounts and the bridge in its namespaces, then only waits.
#   node.sh STATE HOSTNAME BRIDGE ADDRESS SETTING...
set -e
state=$1 hostname=$2 bridge=$3 address=$4
shift 4

mount --make-rshared /
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
# What is written there goes with the node.
for directory in /var/lib /var/log; do
	writes=/run/writes/$(basename "$directory")
	mkdir -p "$writes/upper" "$writes/work"
	mount -t overlay overlay \
		-o "lowerdir=$directory,upperdir=$writes/upper,workdir=$writes/work" "$directory"
done
# Where kube-controller-manager makes volumes.
mkdir -p /tmp/hostpath_pv
mount --bind "$state/volumes" /tmp/hostpath_pv
for setting; do
	mount --bind "$state/sysctl/$setting" "/proc/sys/$setting"
done

hostname "$hostname"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link add "$bridge" type bridge
ip addr add "$address/24" dev "$bridge"
ip link set "$bridge" up

touch "$state/init-done"
# With SIGCHLD ignored, the kernel reaps what others leave to process 1.
exec env --ignore-signal=CHLD sleep infinity
