import pytest
from aiida import orm
from aiida.engine import WorkChain

from aiida_nvp.cli.inputs import fill_builder, load_process, read_inputs
from aiida_nvp.common.errors import InputError

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

ADD = "core.arithmetic.add"


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "inputs.yaml"
        path.write_text(text)
        return path

    return _write


@pytest.fixture
def bash(aiida_code_installed):
    return aiida_code_installed(label="bash", filepath_executable="/bin/bash")


class _Cooling(WorkChain):
    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input("rate", valid_type=orm.Float)
        spec.input("steps", valid_type=(orm.Int, orm.Float))


COMPLETE = "x: 1\ny: 2.5\ncode: code:bash@localhost\nmetadata: {options: {resources: {num_machines: 1}}}\n"


def test_references_and_plain_values_become_a_complete_builder(write, bash):
    builder = fill_builder(load_process(ADD), read_inputs(write(COMPLETE)))
    assert builder.code.uuid == bash.uuid
    assert isinstance(builder.x, orm.Int)
    assert builder.y == 2.5
    assert builder.metadata.options.resources == {"num_machines": 1}


def test_nodes_by_pk_and_uuid(write):
    node = orm.Int(7).store()
    inputs = read_inputs(write(f"a: node:{node.pk}\nb: {{deep: [node:{node.uuid}]}}\n"))
    assert inputs["a"].uuid == inputs["b"]["deep"][0].uuid == node.uuid


def test_files_are_relative_to_the_inputs_file(write, tmp_path):
    (tmp_path / "model.zip").write_bytes(b"weights")
    node = read_inputs(write("model: file:model.zip\n"))["model"]
    assert node.filename == "model.zip"
    assert node.get_content(mode="rb") == b"weights"


def test_a_text_with_an_unknown_prefix_stays_a_text(write):
    assert read_inputs(write("title: 'note: keep this'\n")) == {"title": "note: keep this"}


def test_an_integer_is_taken_where_only_a_float_is():
    builder = fill_builder(_Cooling, {"rate": 1, "steps": 2})
    assert isinstance(builder.rate, orm.Float)
    assert isinstance(builder.steps, orm.Int)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x: code:bsh@localhost\n", r"no code 'bsh@localhost'; this profile has: bash@localhost"),
        ("x: node:999999\n", "no single node '999999'"),
        ("x: file:gone.txt\n", r"no file .*gone\.txt"),
        ("x: pseudos:SSSP\n", "no pseudopotential family 'SSSP'"),
        ("- 1\n", "has to be a mapping .* it is list"),
        ("x: [1\n", "is not YAML"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(write, bash, text, says):
    with pytest.raises(InputError, match=says):
        read_inputs(write(text))


def test_a_missing_inputs_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml cannot be read"):
        read_inputs(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("y: 2.5", "yy: 2.5", "has no input 'yy'; did you mean y?"),
        ("y: 2.5", "density: 2.5", "has no input 'density'; it takes: code, metadata"),
        ("x: 1", "x: hello", r"input 'x' takes Int or Float, not 'hello' \(str\)"),
        ("resources:", "resourcs:", r"no input 'metadata.options.resourcs'; did you mean metadata\.options\.resources"),
        ("{options: {resources: {num_machines: 1}}}", "3", "input 'metadata' is a group of inputs, not 3"),
        ("metadata: {options: {resources: {num_machines: 1}}}", "", r"metadata\.options\.resources` is required"),
    ],
)
def test_a_fault_of_an_input_is_one_sentence(write, bash, old, new, says):
    inputs = read_inputs(write(COMPLETE.replace(old, new)))
    with pytest.raises(InputError, match=says) as caught:
        fill_builder(load_process(ADD), inputs)
    assert "\n" not in str(caught.value)


def test_an_unknown_process_suggests_those_that_are_close():
    with pytest.raises(InputError, match=r"no process 'nvp\.lable'; did you mean nvp\.label"):
        load_process("nvp.lable")


def test_a_workflow_comes_before_a_calculation():
    assert load_process("core.arithmetic.multiply_add").__name__ == "MultiplyAddWorkChain"
