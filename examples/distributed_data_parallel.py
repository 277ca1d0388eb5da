"""Train with NetAug on several devices with DistributedDataParallel, on scikit-learn's digits.

Run `torchrun --nproc-per-node 2 examples/distributed_data_parallel.py`; for a single process
`python examples/distributed_data_parallel.py`. Call the wrapper, so that gradients meet; ask the supernet, which is the
same network, for all the rest.

Added weights need a gradient in every step. If augmentation ends before the training does (an `expand_until` below 1,
or a network whose blocks have no hidden channels), give the wrapper `find_unused_parameters=True`.
"""

import os
from contextlib import nullcontext

import torch
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, DistributedSampler, Subset, TensorDataset

import netaug


def main(epochs: int = 5, images: int = 1500) -> nn.Module:
    """Return the trained network."""
    on_gpu = torch.cuda.is_available()
    alone = {} if "RANK" in os.environ else {"store": distributed.HashStore(), "rank": 0, "world_size": 1}
    distributed.init_process_group("nccl" if on_gpu else "gloo", **alone)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if on_gpu else torch.device("cpu")
    torch.manual_seed(0)  # the same on all devices
    pixels, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(pixels / 16).float().view(-1, 1, 8, 8), torch.tensor(labels))
    data = Subset(data, range(images))
    sampler = DistributedSampler(data)
    train = DataLoader(data, batch_size=50, sampler=sampler)

    network = netaug.create_model("micronet", num_classes=10, in_chans=1)
    supernet = netaug.augment(network, torch.randn(2, 1, 8, 8)).to(device)
    model = nn.parallel.DistributedDataParallel(supernet)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    step, total = 0, epochs * len(train)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        if supernet.sorts(step / total):
            supernet.sort_channels(optimizer)
        for images_NCHW, labels_N in train:
            optimizer.zero_grad()
            for pass_ in supernet.passes(step, progress=step / total):
                x, y = pass_.take(images_NCHW.to(device), labels_N.to(device))
                with nullcontext() if pass_.last else model.no_sync():  # devices meet once
                    (pass_.weight * F.cross_entropy(model(x), y)).backward()
            optimizer.step()
            step += 1
    distributed.destroy_process_group()
    return supernet.extract()


if __name__ == "__main__":
    main()
