#!/bin/bash
# Run a rank in the network namespace of its number; see run.sh.
exec ip netns exec "$GOSSIP_NAMESPACES${PMI_RANK:?start this by run.sh}" "$@"
