from aiida_nvp.provision.pw_check import PwTrial, try_pw


def _program(folder, script):
    path = folder / "pw.x"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return PwTrial(str(path), "Na", "Na.UPF", folder)


def test_energy_and_version_are_read(tmp_path):
    output = "Program PWSCF v.7.2 starts\n!    total energy              =     -92.99270934 Ry\n   JOB DONE.\n"
    verdict = try_pw(_program(tmp_path, f"grep -q 'Na 22.990 Na.UPF' trial.in && printf '%s' '{output}'"))
    assert verdict.energy_ry == -92.99270934
    assert verdict.version == "v.7.2"
    assert verdict.complaint == ""


def test_an_energy_without_job_done_is_no_success(tmp_path):
    output = "!    total energy              =     -92.99270934 Ry\nkilled\n"
    verdict = try_pw(_program(tmp_path, f"printf '%s' '{output}'"))
    assert verdict.energy_ry is None
    assert verdict.complaint == "killed"


def test_the_box_of_quantum_espresso_is_quoted(tmp_path):
    output = " %%%\n     Error in routine readpp (1):\n     file Na.UPF not found\n %%%\n"
    verdict = try_pw(_program(tmp_path, f"printf '%s' '{output.replace('%', '%%')}'; exit 1"))
    assert verdict.complaint == "Error in routine readpp (1): file Na.UPF not found"


def test_a_missing_program_and_a_silent_one(tmp_path):
    assert "No such file" in try_pw(PwTrial(str(tmp_path / "none"), "Na", "Na.UPF", tmp_path)).complaint
    assert try_pw(_program(tmp_path, "exit 7")).complaint == "exit status 7"
