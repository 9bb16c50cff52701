"""Rules by which a node turns its gradients into a direction of its own, on stacks."""
