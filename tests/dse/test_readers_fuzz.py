"""Every kind of file that is read, mutilated: a record, or problems that name the file; never anything else."""

import gzip
import importlib.util
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from dse.documents import load
from dse.errors import DseError, InputError
from dse.exporters.design import design_document
from dse.profiles import read_profile
from dse.profiles import read_requests as read_measured
from dse.readers import _SUFFIXES, load_network
from dse.readers.logs import FORMATS
from dse.readers.requests import read_requests
from dse.readers.tasksets import load_machine, load_task_sets
from dse.report.payload import payload
from dse.report.rundata import read_run
from dse.schema import KINDS


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


documents, timeloop, logs = _load("test_documents_fuzz"), _load("test_timeloop"), _load("test_requests")


def _graph(nodes, inputs, output, weights):
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (*inputs, output)]
    return helper.make_model(helper.make_graph(nodes, "g", infos[:-1], infos[-1:], weights),
                             opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()


def _weight(name, *shape):
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def _ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


node = helper.make_node
CNN = _graph(
    [node("Conv", ["x", "w1"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["b"]),
     node("Conv", ["b", "w2"], ["c"], group=8, auto_pad="SAME_UPPER"), node("GlobalAveragePool", ["c"], ["d"]),
     node("Shape", ["d"], ["s"]), node("Slice", ["s", "zero", "one"], ["n"]),
     node("Concat", ["n", "rest"], ["t"], axis=0), node("Reshape", ["d", "t"], ["e"]),
     node("Gemm", ["e", "w3"], ["f"], transB=1), node("Softmax", ["f"], ["y"])],
    [("x", [1, 3, 16, 16])], ("y", [1, 5]),
    [_weight("w1", 8, 3, 3, 3), _weight("w2", 8, 1, 3, 3), _weight("w3", 5, 8), _ints("zero", 0), _ints("one", 1),
     _ints("rest", -1)])
RNN = _graph([node("LSTM", ["x", "w", "r"], ["o"], hidden_size=4), node("Squeeze", ["o", "one"], ["s"]),
              node("Einsum", ["s", "k"], ["y"], equation="tbi,ij->tbj")],
             [("x", [6, 1, 3])], ("y", [6, 1, 7]),
             [_weight("w", 1, 16, 3), _weight("r", 1, 16, 4), _weight("k", 4, 7), _ints("one", 1)])
CONFIG = {"model_type": "mixtral", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
          "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 100, "num_local_experts": 4,
          "num_experts_per_tok": 2, "tie_word_embeddings": False}
LAYERS = ("Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
          "c1, 16, 16, 3, 3, 3, 8, 1,\nc2,16,16,3,3,3,8,2,2:4\n")
MACHINE = """\
tile: {m: 1536, k: 128, n: 1024}
cycles: {load: 17200, comp: 17200, store: 228288, clean_output: 15200, persist: 228288, resume: 293512}
scheduler_cycles: {feedback: 2, release: 6, issue: 2, finish: 4, heap_insert_base: 5, heap_insert_per_task: 2,
                   heap_pop_base: 4, heap_pop_per_task: 3}
strategies: [np, lw]
networks: {n1: [[64, 64, 64], [32, 32, 32]], n2: "2 x [[16, 16, 16]]", n3: "transformer(6, 512, 128, 2, 4, 2)"}
"""
TECHNOLOGY = """\
kind: technology
name: ours
constants:
  mac_int8_energy_j.16nm: {value: 1.1e-13, low: 1.0e-13, high: 1.3e-13, source: test chip}
  dram_lpddr4_energy_j_per_byte: 6.0e-11
"""
PROFILE = "family,network,sample,layer,latency_s,sparsity_frac\nf,a,0,0,1.0,0.0\nf,a,0,1,1.0,0.5\nf,b,0,0,2.0,0.0\n"
MEASURED = "request,arrival_s,network,sample,priority,deadline_s\nx,0,a,0,1,9\ny,0.5,b,0,3,inf\n"


def _log(name):
    return lambda path: read_requests(path, **logs.NEEDED.get(name, {}))


def _measured(path):
    (path.parent / "profile.csv").write_text(PROFILE)
    return read_measured(path, read_profile(path.parent / "profile.csv"))


def _task_sets(path):
    return load_task_sets(path, {"n1": [(64, 64, 64)], "n2": [(16, 16, 16)]})


# what -> (file name, content, reader)
SEEDS = {
    "onnx cnn": ("cnn.onnx", CNN, load_network), "onnx rnn": ("rnn.onnx", RNN, load_network),
    "torch": ("program.pt2", b"PK\x03\x04 is how it begins", load_network),
    "hugging face": ("config.json", json.dumps(CONFIG), load_network),
    "scale-sim": ("layers.csv", LAYERS, load_network), "scale-sim gemm": ("g.csv", "Layer, M, N, K,\nfc, 1, 2, 3,\n",
                                                                         load_network),
    **{f"loop nests {i}": (f"nest{i}.yaml", text, load_network) for i, text in enumerate(timeloop.TEXTS)},
    **{f"log {name}": (f"{name}.csv", text, _log(name)) for name, text in logs.LOGS.items()},
    "log packed": ("log.csv.gz", gzip.compress(logs.LOGS["vidur"].encode(), mtime=0), _log("vidur")),
    **{text.split()[1]: (f"{text.split()[1]}.yaml", text, load) for text in documents.TEXTS},
    "technology": ("technology.yaml", TECHNOLOGY, load),
    "task sets": ("sets.csv", "set,task,network,period_cycles\n0,a,n1,100000\n0,b,n2,200000\n", _task_sets),
    "machine": ("machine.yaml", MACHINE, load_machine),
    "profile": ("profile.csv", PROFILE, read_profile), "measured requests": ("requests.csv", MEASURED, _measured),
}
JUNK = (b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"1e999", b"-1", b"9" * 400, b"nan", b"[[[[", b"{" * 3000,
        b"[" * 3000, b"\r", b"\n\n", b'"', b"'", b",", b":", b"- ", b"&a *a", b"<<: *x", b"!!python/object",
        b"\xe2\x80\xa8", b"\xc3",
        b"99999999999", b"1_000", b"null", b"\t", b"---\n", b"\xed\xa0\x80", "٣".encode())


def mutated(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4])):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice([1, 1, 3, 20]))
        kind = chance.randrange(6)
        if kind == 0:
            data[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = chance.choice(JUNK)
        elif kind == 3:
            data[at:end] = chance.choice(JUNK)
        elif kind == 4:
            del data[at:]
        else:
            data[at:at] = data[at:end]
    return bytes(data)


def refused(reader, path):
    """Problems of a file; none where it is read."""
    try:
        reader(str(path)) if reader is load_network else reader(path)
    except InputError as error:
        found = error.problems
    else:
        return ()
    assert 0 < len(found) < 200
    for problem in found:
        assert problem.message
        assert path.name in problem.file or problem.field, problem
    return found


def _content(data):
    return data if isinstance(data, bytes) else data.encode()


def test_every_kind_of_file_is_tried():
    names = {name for name, _, _ in SEEDS.values()}
    assert set(KINDS) | {f"log {known.name}" for known in FORMATS} <= set(SEEDS)
    assert {Path(name).suffix for name in names} >= set(_SUFFIXES) - {".yml"}


@pytest.mark.parametrize("what", SEEDS)
def test_mutilated(what, tmp_path):
    name, data, reader = SEEDS[what]
    path = tmp_path / name
    path.write_bytes(_content(data))
    assert bool(refused(reader, path)) == (what == "torch")  # test_readers_torch.py has real ones
    for seed in range(25):
        path.write_bytes(mutated(_content(data), random.Random(f"{what} {seed}")))
        refused(reader, path)


@pytest.mark.parametrize("what", SEEDS)
def test_what_is_no_such_file_at_all(what, tmp_path):
    name, data, reader = SEEDS[what]
    path = tmp_path / name
    page = b"<!DOCTYPE html>\n<html><body>404: Not Found</body></html>\n"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"
    for content in (b"", b"\n \n", b"\x00" * 64, bytes(range(256)), page, pointer, b"\x1f\x8b\x08\x00cut",
                    _content(data).decode("latin-1").encode("utf-16")):
        path.write_bytes(content)
        assert refused(reader, path), content
    path.unlink()
    assert refused(reader, path)
    path.symlink_to(path)
    assert refused(reader, path)
    path.unlink()
    path.mkdir()
    assert refused(reader, path)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = _load("synthetic_run").make_run(tmp_path_factory.mktemp("run") / "run", 12)
    (folder / "timings.csv").write_text("trial,duration_s\n" + "".join(f"{t},0.5\n" for t in range(12)))
    (folder / "scenarios.csv").write_text("trial,scenario,area_mm2\n0,quiet,3.5\n0,busy,3.5\n")
    return folder


@pytest.mark.parametrize("name", ["trials.csv", "front.csv", "timings.csv", "scenarios.csv", "study.yaml",
                                  "manifest.json", "best/trial_00000.yaml"])
def test_a_run_folder_with_a_mutilated_or_foreign_file(name, run_folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    best = sorted((run / "best").iterdir())[0]
    path = best if name.startswith("best/") else run / name
    data, chance = path.read_bytes(), random.Random(name)
    foreign = [(run / other).read_bytes() for other in ("trials.csv", "timings.csv", "manifest.json", "study.yaml")]
    for content in [b"", b"\xff\xfe", b"{}", b"[1]", b"a: 1", *foreign, *(mutated(data, chance) for _ in range(8))]:
        path.write_bytes(content)
        try:
            found = read_run(run)
            payload(found, {}, [])
            design_document(found, int(best.stem.removeprefix("trial_")))
        except DseError as error:
            if str(run) not in str(error):
                raise
