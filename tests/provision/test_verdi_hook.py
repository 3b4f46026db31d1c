import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.verdi_hook import MODULE, hook_files, install, is_installed, remove


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


def _run(site, code, *arguments):
    """Run code in an interpreter whose program name is ``verdi`` and which reads the .pth files of ``site`` alone."""
    script = site.parent / "verdi"
    script.write_text(f"import site; site.addsitedir({str(site)!r})\n{code}\n")
    # -S leaves out the .pth files of this environment, where the hook may be installed for real.
    packages = os.pathsep.join([sysconfig.get_path("purelib"), str(Path(__file__).parents[2])])
    environment = {**os.environ, "AIIDA_PATH": str(site.parent), "PYTHONWARNINGS": "ignore", "PYTHONPATH": packages}
    return subprocess.run(
        [sys.executable, "-S", script, *arguments], capture_output=True, text=True, check=False, env=environment
    )


_CALL_VERDI = """
import aiida.cmdline.commands.cmd_process
from aiida.cmdline.commands.cmd_verdi import verdi
verdi(prog_name="verdi")
"""


def test_install_and_remove_are_repeatable(site):
    assert not is_installed(site)
    assert install(site).changed
    assert is_installed(site)
    assert not install(site).changed
    assert remove(site).changed
    assert list(site.iterdir()) == []
    assert not remove(site).changed


def test_an_older_wording_is_replaced(site):
    install(site)
    (site / f"{MODULE}.py").write_text("# from an older version\n")
    assert not is_installed(site)
    assert install(site).changed
    assert is_installed(site)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(InputError, match="--no-verdi-hook"):
        install(tmp_path / "missing")


def test_verdi_process_lists_and_describes_submit(site):
    install(site)
    listing = _run(site, _CALL_VERDI, "process", "--help")
    assert listing.returncode == 0, listing.stderr
    assert "\n  submit " in listing.stdout
    described = _run(site, _CALL_VERDI, "process", "submit", "--help")
    assert "INPUTS.yaml" in described.stdout
    assert described.stderr == ""


def test_a_real_start_of_verdi_finds_the_hook(tmp_path):
    """An environment of its own: its interpreter reads the .pth files by itself, as at every start."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, capture_output=True)
    folder = next((environment / "lib").glob("python*")) / "site-packages"
    packages = [sysconfig.get_path("purelib"), str(Path(__file__).parents[2])]
    (folder / "borrowed.pth").write_text("".join(f"{path}\n" for path in packages))
    script = environment / "bin" / "verdi"
    script.write_text("from aiida.cmdline.commands.cmd_verdi import verdi\nverdi()\n")
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables |= {"AIIDA_PATH": str(tmp_path), "PYTHONWARNINGS": "ignore"}

    def submit_is_listed(*program):
        command = [environment / "bin" / "python", *program, "process", "--help"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return "\n  submit " in result.stdout

    assert not submit_is_listed(script)
    install(folder)
    assert submit_is_listed(script)
    assert submit_is_listed("-m", "aiida")


def test_without_the_hook_there_is_no_submit(site):
    listing = _run(site, _CALL_VERDI, "process", "--help")
    assert listing.returncode == 0
    assert "\n  submit " not in listing.stdout


def test_a_submit_of_aiida_itself_wins(site):
    install(site)
    code = f"""
import click, types, {MODULE} as hook
module = types.SimpleNamespace(verdi_process=click.Group("process", commands={{"submit": click.Command("theirs")}}))
hook._add_submit(module)
print(module.verdi_process.commands["submit"].name)
"""
    assert _run(site, code).stdout.strip() == "theirs"


def test_verdi_still_works_when_the_package_is_gone(site):
    install(site)
    gone = "import sys; sys.modules['aiida_nvp.cli.submit'] = None\n"
    result = _run(site, gone + _CALL_VERDI, "process", "--help")
    assert result.returncode == 0
    assert "\n  list " in result.stdout
    assert result.stderr.startswith("aiida-nvp: `verdi process submit` is not available")
    assert len(result.stderr.splitlines()) == 1


def test_other_programs_import_nothing_of_ours(site):
    install(site)
    code = f"import site, sys; site.addsitedir({str(site)!r}); print({MODULE!r} in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "False"


def test_the_module_is_plain_python_of_its_own():
    text = hook_files(Path("site"))[Path("site") / f"{MODULE}.py"]
    imports = [line.strip() for line in text.splitlines() if line.strip().startswith(("import ", "from "))]
    assert imports
    assert not any("aiida" in line for line in imports)
