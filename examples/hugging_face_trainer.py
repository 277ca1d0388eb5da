"""Train with NetAug in Hugging Face's Trainer, on scikit-learn's digits: `python examples/hugging_face_trainer.py`.

Only `training_step` is new: two passes, each with its backward, in place of one. All else is the Trainer's. For several
devices take `accelerate_loop.py`, which holds back the exchange of gradients until the last pass.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

import netaug


class Classifier(nn.Module):
    def __init__(self, supernet: netaug.Supernet) -> None:
        super().__init__()
        self.supernet = supernet

    def forward(self, pixel_values, labels):  # named as in the data; the Trainer takes the loss from here
        logits = self.supernet(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class NetAugTrainer(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        model.train()
        batch, total, step = self._prepare_inputs(inputs), 0.0, self.state.global_step
        for pass_ in self.model.supernet.passes(step, progress=step / self.state.max_steps):
            x, y = pass_.take(batch["pixel_values"], batch["labels"])
            loss = pass_.weight * model(x, y)["loss"] / self.current_gradient_accumulation_steps
            self.accelerator.backward(loss)
            total += loss.detach()
        return total


class SortChannels(TrainerCallback):
    def on_epoch_begin(self, args, state, control, model, optimizer, **_):
        if model.supernet.sorts(state.global_step / state.max_steps):
            model.supernet.sort_channels(getattr(optimizer, "optimizer", optimizer))


def main(epochs: int = 5, images: int = 1500) -> nn.Module:
    torch.manual_seed(0)
    pixels, labels = map(torch.tensor, load_digits(return_X_y=True))
    images_NCHW = (pixels / 16).float().view(-1, 1, 8, 8)
    data = [{"pixel_values": x, "labels": y} for x, y in zip(images_NCHW, labels, strict=True)]
    network = netaug.create_model("micronet", num_classes=10, in_chans=1)
    supernet = netaug.augment(network, images_NCHW[:2])
    settings = TrainingArguments(num_train_epochs=epochs, per_device_train_batch_size=50, max_grad_norm=0,
                                 save_strategy="no", report_to=[], dataloader_pin_memory=False)  # fmt: skip
    sgd = torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    NetAugTrainer(Classifier(supernet), settings, optimizers=(sgd, None), callbacks=[SortChannels()],
                  train_dataset=data[:images]).train()  # fmt: skip
    return supernet.extract()


if __name__ == "__main__":
    main()
