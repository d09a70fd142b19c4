"""`dse init`: a study that the tool itself accepts, from flags, questions or nothing; never over an existing file."""

import json
from pathlib import Path

import onnx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dse.commands.init as init_command
from dse.cli import main
from dse.documents import load_study, shipped_workloads
from dse.init import Answers, render, write_study
from dse.schema import json_schema

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@pytest.fixture
def dse(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*args):
        with pytest.raises(SystemExit) as end:
            main(list(map(str, args)))
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


def test_without_anything(dse):
    assert dse("init") == (0, "study.yaml\n", "written: study.yaml; next: dse run study.yaml\n")
    study = load_study("study.yaml")
    assert (study.name, study.trials, len(study.workload.tenants)) == ("study", 400, 2)
    assert dse("check", "study.yaml")[0] == 0


def test_flags_arrive(dse):
    code, out, err = dse("init", "mine", "--networks", "resnet18, mobilenet_v2,resnet18", "--rate", "30,60,15.5",
                         "--deadline", "0.05", "--area", "12.5", "--power", "1.5", "--architectures",
                         "time_mux,composable", "--policies", "fcfs,prema", "--node", "28", "--trials", "50", "--seed",
                         "7")
    assert (code, out) == (0, "mine.yaml\n"), err
    study = load_study("mine.yaml")
    assert [tenant.name for tenant in study.workload.tenants] == ["resnet18", "mobilenet_v2", "resnet18_2"]
    assert [tenant.traffic.rate_hz for tenant in study.workload.tenants] == [30.0, 60.0, 15.5]
    assert {tenant.service.deadline_s for tenant in study.workload.tenants} == {0.05}
    assert (study.budgets["area_mm2"], study.budgets["power_w"]) == (12.5, 1.5)
    assert (study.trials, study.seed) == (50, 7)
    space = yaml.safe_load(Path("mine.yaml").read_text())["space"]
    assert space["architectures"] == ["time_mux", "composable"]
    assert space["policies"] == ["fcfs", "prema"]
    assert space["domains"] == {"node_nm": [28]}


def test_own_files_are_found_from_another_folder(dse, tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "my nets").mkdir()
    (tmp_path / "my nets" / "it's.onnx").write_bytes((LIGHT / "light_squeezenet.onnx").read_bytes())
    (tmp_path / "layer.yaml").write_text("problem: {instance: {C: 64, M: 64, P: 64}}\n")
    code, _, err = dse("init", "nets/a", "--networks", "my nets/it's.onnx,layer.yaml,resnet18")
    assert code == 0, err
    tenants = yaml.safe_load((tmp_path / "nets" / "a.yaml").read_text())["workload"]["tenants"]
    assert [tenant["network"] for tenant in tenants] == ["../my nets/it's.onnx", "../layer.yaml", "resnet18"]
    assert [tenant["name"] for tenant in tenants] == ["it_s", "layer", "resnet18"]
    network = load_study(tmp_path / "nets" / "a.yaml").workload.tenants[0].network
    assert network.macs == pytest.approx(0.3492e9, rel=1e-3)


def test_sizes_go_to_the_networks_that_need_them(dse, tmp_path):
    shape = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["rows", 8]) for name in ("x", "y")]
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [8, 8], [0.0] * 64)
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "g", shape[:1], shape[1:],
                                   [weights])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), tmp_path / "free.onnx")
    networks = f"{LIGHT / 'light_squeezenet.onnx'},free.onnx,res8"
    code, _, err = dse("init", "--networks", networks)
    assert code == 2
    assert "rows" in err
    assert dse("init", "--networks", networks, "--bind", "rows=16")[0] == 0
    tenants = yaml.safe_load((tmp_path / "study.yaml").read_text())["workload"]["tenants"]
    assert [tenant.get("bind") for tenant in tenants] == [None, {"rows": 16}, None]
    assert load_study("study.yaml").workload.tenants[1].network.macs == 16 * 8 * 8
    assert dse("init", "b", "--networks", "res8", "--bind", "rows=16")[2].startswith(
        "--bind: must be left out: no network has free dimensions")


@pytest.mark.parametrize("name", sorted(shipped_workloads()))
def test_shipped_workloads(dse, name):
    assert dse("init", "--workload", name)[0] == 0
    assert load_study("study.yaml").workload.name == name


def test_a_workload_file(dse, tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "mine").write_text("kind: workload\nname: mine\ntenants:\n  - {name: a, network: res8, traffic: "
                                         "{kind: periodic, rate_hz: 3}}\n")
    assert dse("init", "--workload", "w/mine")[0] == 0
    assert load_study("study.yaml").workload.name == "mine"


def test_nothing_is_overwritten(dse, tmp_path):
    (tmp_path / "study.yaml").write_text("precious")
    code, out, err = dse("init")
    assert (code, out) == (2, "")
    assert err.startswith("study.yaml: must be a new file: an existing one is never overwritten")
    assert (tmp_path / "study.yaml").read_text() == "precious"
    (tmp_path / "link.yaml").symlink_to("nowhere")
    assert dse("init", "link")[0] == 2
    (tmp_path / "study.schema.json").write_text("precious")
    assert dse("init", "other", "--schema")[0] == 0
    assert (tmp_path / "study.schema.json").read_text() == "precious"


def test_schema_beside_it(dse, tmp_path):
    assert dse("init", "--schema")[0] == 0
    assert (tmp_path / "study.yaml").read_text().startswith("# yaml-language-server: $schema=study.schema.json\n")
    assert json.loads((tmp_path / "study.schema.json").read_text()) == json_schema("study")


@pytest.mark.parametrize(("args", "expected"), [
    (["--networks", "resnet5O"], "--networks: must be a network of the zoo"),
    (["--networks", "gone.onnx"], "gone.onnx: no such file"),
    (["--networks", ","], "--networks: must name at least one network"),
    (["--rate", "x"], "--rate: must be a number, or several with commas in between, got 'x'"),
    (["--rate", "0"], "--rate: must be a number > 0, got 0"),
    (["--rate", "nan"], "--rate: must be a number > 0, got nan"),
    (["--rate", "1,2,3"], "--rate: must be one number, or one per network (2), got 3"),
    (["--area", "-1"], "--area: must be a number > 0, got -1"),
    (["--trials", "0"], "--trials: must be an integer >= 1, got 0"),
    (["--node", "17"], "--node: must be one of "),
    (["--architectures", "time_mx"], "--architectures: must be one of time_mux, composable, heterogeneous, dedicated, "
     "got 'time_mx' (did you mean 'time_mux'?)"),
    (["--policies", "prem"], "--policies: must be one of "),
    (["--workload", "ar_asistant"], "--workload: must be one of "),
    (["--workload", "ar_assistant", "--rate", "3"], "--workload: must be left out"),
    (["--bind", "batch"], "--bind: must be NAME=SIZE"),
    (["no/such\nname"], "NAME: must be a name"),
])
def test_mistakes(dse, tmp_path, args, expected):
    code, out, err = dse("init", *args)
    assert (code, out) == (2, "")
    assert err.startswith(expected)
    assert not list(tmp_path.rglob("*.yaml"))


def test_all_mistakes_at_once(dse):
    err = dse("init", "--area", "-1", "--networks", "resnet5O,gone.onnx", "--trials", "0")[2]
    assert err.endswith("4 errors\n")


def test_questions_on_a_terminal_only(dse, monkeypatch):
    asked = []

    def answer(text, default=None, **_):
        asked.append(text)
        return {"Networks": "resnet18", "Requests": "15", "Area": 9.0, "Power": 2.0}.get(text.split()[0], default)

    monkeypatch.setattr(init_command.typer, "prompt", answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert dse("init", "a", "--area", "30")[0] == 0
    assert not asked
    assert dse("init", "b")[0] == 0
    assert len(asked) == 5
    study = load_study("b.yaml")
    assert [(tenant.name, tenant.traffic.rate_hz) for tenant in study.workload.tenants] == [("resnet18", 15.0)]
    assert (study.budgets["area_mm2"], study.budgets["power_w"], study.trials) == (9.0, 2.0, 400)


@given(name=st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=12),
       area=st.floats(1e-3, 1e9), rate=st.floats(1e-3, 1e4))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_and_number_survive(tmp_path, name, area, rate):
    document = yaml.safe_load(render(Answers(area_mm2=area, rates_hz=(rate,)), name, tmp_path))
    assert document["name"] == name
    assert float(document["budgets"]["area_mm2"]) == area
    assert float(document["workload"]["tenants"][1]["traffic"]["rate_hz"]) == rate


@pytest.mark.slow
def test_it_runs_at_once(dse):
    write_study(Answers(trials=8), Path("s.yaml"))
    code, out, err = dse("run", "s.yaml", "--workers", "1")
    assert code == 0, err
    assert out.rstrip().endswith("report.html")
