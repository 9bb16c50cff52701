"""A small CNN on scikit-learn's digits, one node a rank: mpirun -n 4 python docs/train_cnn.py"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import gossip
from algorithms import DecentralizedSGD

pixels, labels = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
images = pixels.float().view(-1, 1, 8, 8) / 8 - 1
convolution = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
model = nn.Sequential(*convolution, nn.Flatten(), nn.Linear(256, 10))
optimizer = gossip.Optimizer(
    model.parameters(), DecentralizedSGD(lr=0.05, momentum=0.9), topology="exponential", buffers=model.buffers()
)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)

torch.manual_seed(optimizer.node)
mine = torch.arange(297 + optimizer.node, len(labels), optimizer.n)  # this node's images; the first 297 are for testing
parts = {"model": model, "scheduler": scheduler}
for step in range(optimizer.load("saved", **parts).get("step", 0), 150):  # from the beginning if nothing is saved
    batch = mine[torch.randint(len(mine), (32,))]
    optimizer.zero_grad()
    cross_entropy(model(images[batch]), labels[batch]).backward()
    optimizer.step()  # one iteration of the algorithm
    scheduler.step()
    if optimizer.stopping:  # by Ctrl-C, or by a batch system, which then queues the job again
        optimizer.save("saved", **parts, step=step + 1)
        sys.exit(75)

model.eval()
with optimizer.average(), torch.no_grad():  # the model is the average of all nodes' within
    accuracy = (model(images[:297]).argmax(1) == labels[:297]).float().mean()
if optimizer.node == 0:
    print(f"{optimizer.n} nodes, test accuracy {accuracy:.3f}, {int(optimizer.traffic.bytes)} bytes sent by each")
