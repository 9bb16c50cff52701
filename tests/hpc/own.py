"""A loop of one's own, as the batch script of a job runs it: for as many steps as a file says."""

import sys
import time
from pathlib import Path

import torch

import gossip
from algorithms import GradientTracking
from tests.mpi.own_loop import loss_of, model, vector

net = model(0)
optimizer = gossip.Optimizer(net.parameters(), GradientTracking(lr=0.05), "ring")
steps = int(Path("steps").read_text())
for step in range(optimizer.load("saved", model=net).get("step", 0), steps):
    optimizer.zero_grad()
    loss_of(net, optimizer.node, step).backward()
    optimizer.step()
    if step % 20 == 19:
        optimizer.save("saved", model=net, step=step + 1)
    if optimizer.stopping:
        optimizer.save("saved", model=net, step=step + 1)
        sys.exit(75)
    time.sleep(0.01)
torch.save(vector(net), f"final-{optimizer.node}.pt")
