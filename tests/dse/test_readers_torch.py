"""Programs of torch.export as networks: exact counts, one per form of operator. Skipped without torch.

The environment `.ci/export-tools` makes for it: `.tools/torch/bin/python -m pytest tests/dse/test_readers_torch.py`.
"""

import warnings

import pytest

from dse.documents import load_workload
from dse.errors import InputError
from dse.readers import load_network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore")


def save(folder, model, *inputs, **options):
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(model.eval(), inputs, **options), str(path))
    return str(path)


def read(folder, model, *inputs, bind=None, **options):
    return load_network(save(folder, model, *inputs, **options), bind=bind)


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.dw = nn.Conv2d(8, 8, 3, padding="same", groups=8, bias=False)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu6(self.norm(self.stem(x))), 2)
        x = self.up(F.hardswish(self.dw(x) + x))
        return self.head(x.mean((2, 3))).softmax(-1)


def test_convolutions_by_hand(tmp_path):
    found = read(tmp_path, Cnn(), torch.zeros(1, 3, 32, 32))
    macs = {"conv2d": 8 * 3 * 9 * 256, "conv2d_1": 8 * 9 * 64, "conv_transpose2d": 8 * 64 * 4 * 4, "linear": 20}
    assert {layer.name: layer.macs for layer in found.network if layer.is_matrix} == macs
    assert found.network.parameters == sum(p.numel() for p in Cnn().parameters())
    assert (found.unsupported, found.kind) == ((), "torch")
    assert [layer.op for layer in found.network][:2] == ["conv", "pool"]  # normalisation and activation are fused
    stem = found.network.layers[0]
    assert (stem.stride_y, stem.pad_y, stem.oy, stem.input_elements) == (2, 1, 16, 3 * 32 * 32)
    assert next(layer for layer in found.network if layer.name == "conv2d_1").op == "depthwise"


class Block(nn.Module):
    """Tied head, grouped queries, a no_grad in the middle."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Embedding(50, 32), nn.RMSNorm(32)
        self.q, self.kv = nn.Linear(32, 32, bias=False), nn.Linear(32, 16, bias=False)
        self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, tokens):
        x = self.embed(tokens)
        y = self.norm(x)
        b, s, _ = y.shape
        q = self.q(y).view(b, s, 4, 8).transpose(1, 2)
        k = v = self.kv(y).view(b, s, 2, 8).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + y.transpose(1, 2).reshape(b, s, 32)
        with torch.no_grad():
            x = x + self.down(F.gelu(self.up(x)))
        return x @ self.embed.weight.t()


LINEAR = 32 * 32 + 32 * 16 + 2 * 32 * 64 + 32 * 50


def test_attention_and_a_tied_head(tmp_path):
    found = read(tmp_path, Block(), torch.zeros(2, 12, dtype=torch.int64))
    assert found.network.macs == 2 * (12 * LINEAR + 2 * 12 * 12 * 32)
    assert found.network.parameters == sum(p.numel() for p in Block().parameters())
    assert not found.unsupported


def test_free_dimensions_are_bound_by_name(tmp_path):
    free = {"tokens": {0: torch.export.Dim("batch", min=2, max=64), 1: torch.export.Dim("seq", min=2, max=512)}}
    path = save(tmp_path, Block(), torch.zeros(2, 12, dtype=torch.int64), dynamic_shapes=free)
    found = load_network(path, bind={"tokens.0": 3, "tokens.1": 40})
    assert found.network.macs == 3 * (40 * LINEAR + 2 * 40 * 40 * 32)
    with pytest.raises(InputError, match=r"free dimension, missing tokens.0, tokens.1 \(for example --bind tokens.0=1"):
        load_network(path)
    with pytest.raises(InputError, match=r"must be one of tokens.0, tokens.1, got 'tokens.2'"):
        load_network(path, bind={"tokens.2": 3})


class Cells(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(10, 16, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(32, 8)

    def forward(self, x):
        y, _ = self.lstm(x)
        return self.gru(y.transpose(0, 1))[0]


def test_recurrent_cells(tmp_path):
    found = read(tmp_path, Cells(), torch.zeros(1, 7, 10))
    lstm = 7 * 2 * (64 * (10 + 16) + 64 * (32 + 16))
    assert found.network.macs == lstm + 7 * 24 * (32 + 8)
    assert found.network.parameters == sum(p.numel() for p in Cells().parameters())


class Odd(nn.Module):
    def forward(self, x):
        return torch.einsum("bij,bjk->bik", x, torch.fft.fft(x).real)


def test_an_operator_without_a_counterpart_is_listed(tmp_path):
    found = read(tmp_path, Odd(), torch.zeros(2, 8, 8))
    assert found.network.macs == 2 * 8 ** 3
    assert ("aten", "fft_fft") in {(item.domain, item.op) for item in found.unsupported}


def test_a_tenant_of_a_workload(tmp_path):
    save(tmp_path, Cnn(), torch.zeros(1, 3, 32, 32))
    (tmp_path / "w.yaml").write_text("kind: workload\nname: w\ntenants:\n  - {name: cam, network: model.pt2, "
                                     "traffic: {kind: periodic, rate_hz: 30}}\n")
    assert load_workload(tmp_path / "w.yaml").tenants[0].network.macs > 0


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut", b"nothing like it"])
def test_no_program(tmp_path, content):
    (tmp_path / "m.pt2").write_bytes(content)
    with pytest.raises(InputError, match=r"must be a program saved by torch.export.save"):
        load_network(str(tmp_path / "m.pt2"))
