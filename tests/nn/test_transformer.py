import pytest
import torch

from lightrec.nn.towers import CausalTransformer, rotary_angles, rotate


@pytest.fixture
def transformer():
    torch.manual_seed(0)
    model = CausalTransformer(size=16, layers=2, heads=2, dropout=0.5).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_scores_of_rotated_vectors_depend_on_the_distance_alone():
    torch.manual_seed(0)
    query, key = torch.randn(8), torch.randn(8)
    angles = rotary_angles(10, 8, torch.device("cpu"))
    queries, keys = rotate(query.expand(10, 8), angles), rotate(key.expand(10, 8), angles)
    products = queries @ keys.T
    assert torch.allclose(products.diagonal(3), products[0, 3].expand(7), atol=1e-5)
    # Distance 1 in the first pair of features turns by one radian.
    unit = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])
    turned = rotate(unit.expand(2, 8), angles[:, :2])[1]
    assert turned[[0, 4]].tolist() == pytest.approx([0.540302, 0.841471], abs=1e-5)


def test_the_future_does_not_matter(transformer):
    x = torch.randn(3, 7, 16)
    present = torch.ones(3, 7, dtype=torch.bool)
    before = transformer(x, present)
    x[:, 4:] = torch.randn(3, 3, 16)
    after = transformer(x, present)
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-2)


def test_padding_does_not_matter(transformer):
    x = torch.randn(3, 7, 16)
    plain = transformer(x, torch.ones(3, 7, dtype=torch.bool))
    padded = torch.cat([torch.randn(3, 5, 16), x], dim=1)
    present = torch.arange(12).expand(3, 12) >= 5
    output = transformer(padded, present)
    assert torch.allclose(output[:, 5:], plain, atol=1e-5)
    assert output.isfinite().all()


def test_gradients_are_finite_under_padding(transformer):
    x = torch.randn(2, 4, 16, requires_grad=True)
    present = torch.tensor([[False, False, False, False], [False, True, True, True]])
    transformer(x, present)[1, 1:].sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad[0].abs().sum() == 0


def test_heads_must_fit():
    with pytest.raises(ValueError, match="multiple of 6"):
        CausalTransformer(size=16, layers=1, heads=3)
