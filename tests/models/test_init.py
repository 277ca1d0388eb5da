"""Initial weights follow their distributions and depend on the global seed alone."""

import math

import pytest
import torch
from torch import nn

from netaug.core.errors import ModelError
from netaug.models import create_model, initialize


def layers():
    """Wide enough that a sample deviation is within 2 % of the true one."""
    return nn.Sequential(nn.Conv2d(64, 96, 3, groups=2), nn.BatchNorm2d(96), nn.Linear(96, 200))


def test_he_is_normal_by_fan_out():
    torch.manual_seed(0)
    model = layers()
    initialize(model, "he")
    assert model[0].weight.std().item() == pytest.approx(math.sqrt(2 / (96 * 9)), rel=0.02)
    assert model[2].weight.std().item() == pytest.approx(0.01, rel=0.02)


def test_fan_out_is_that_of_the_released_baseline():
    """Linear layers as convolutions, but for the classifier: a truncated normal(0, 0.02)."""
    torch.manual_seed(0)
    model = nn.Sequential(*layers(), nn.Linear(200, 90))
    initialize(model, "fan_out", ["3.weight"])
    assert model[0].weight.std().item() == pytest.approx(math.sqrt(2 / (96 * 9)), rel=0.02)
    assert model[2].weight.std().item() == pytest.approx(math.sqrt(2 / 200), rel=0.02)
    assert model[3].weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_uniform_stays_within_one_over_the_root_of_fan_in():
    torch.manual_seed(0)
    model = layers()
    nn.init.constant_(model[0].weight, 9.0)
    initialize(model, "uniform")
    for weight, fan_in in ((model[0].weight, 32 * 9), (model[2].weight, 96)):
        bound = 1 / math.sqrt(fan_in)
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("how", ["uniform", "he"])
def test_biases_and_norms_stay(how):
    model = layers()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3.0)
    initialize(model, how)
    kept = {name for name, parameter in model.named_parameters() if (parameter == 3.0).all()}
    assert kept == {"0.bias", "1.weight", "1.bias", "2.bias"}


def test_model_keeps_every_weight_and_draws_nothing():
    model = layers()
    before = [parameter.clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    initialize(model, "model")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("how", ["uniform", "he"])
@pytest.mark.parametrize("name", ["mobilenetv3-0.35", "proxylessnas-0.35"])
def test_the_paper_s_networks_run_from_both(name, how):
    """Finite logits that tell images apart, whatever the paper's arm starts from."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=10)
    initialize(model, how)
    logits_NK = model(torch.randn(4, 3, 64, 64))
    assert logits_NK.isfinite().all()
    assert (logits_NK.std(0) > 1e-4).all()


@pytest.mark.parametrize("how", ["uniform", "he"])
def test_the_global_seed_repeats_the_draw(how):
    def drawn(seed):
        model = layers()
        torch.manual_seed(seed)
        initialize(model, how)
        return model[0].weight

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_own_networks_start_he_normal_with_neutral_norms_and_head():
    torch.manual_seed(0)
    model = create_model("mobilenetv2-tiny")
    weight = model.last.conv.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / weight.shape[0]), rel=0.02)
    assert model.classifier.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not model.classifier.bias.any()
    assert (model.last.norm.weight == 1).all()
    assert not model.last.norm.bias.any()


def test_biases_of_own_networks_start_at_zero():
    biases = [p for name, p in create_model("mobilenetv3-0.35").named_parameters() if name.endswith("bias")]
    assert any(len(bias) == 1280 for bias in biases)
    assert not any(bias.any() for bias in biases)


def test_an_unknown_way_is_refused_with_the_nearest():
    with pytest.raises(ModelError, match="unknown initialization") as caught:
        initialize(layers(), "unifrom")
    assert "'uniform'" in caught.value.fix


def test_a_model_without_layers_is_not_silently_left_alone():
    with pytest.raises(ModelError, match="no conv or linear layer"):
        initialize(nn.Sequential(nn.ReLU()), "he")
