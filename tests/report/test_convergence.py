"""The page and the drawing of a convergence test."""

import re
from xml.etree import ElementTree

import pytest
from aiida import orm
from PIL import Image

from aiida_nvp.common.errors import InputError
from aiida_nvp.report.convergence import HEADER, cells, fixed
from aiida_nvp.report.convergence_page import write_convergence

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def test_the_page_stands_alone_and_shows_what_the_table_says(convergence_node, tmp_path):
    node = convergence_node()
    page = write_convergence(node, tmp_path / "new" / "test.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert page.count("<svg") == 1
    assert "Every series has converged." in page
    assert "cutoff_wfc_ry: 40" in page
    assert node.outputs["result"]["proposal"]["reasons"]["cutoff"] in page
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["test.html"]


def test_a_failed_reference_still_gives_a_page(convergence_node, tmp_path):
    node = convergence_node(failed=["cutoff_60_dual_8_mesh_1_1_1"])
    page = write_convergence(node, tmp_path / "test.html").read_text()
    assert "Not every series has converged" in page
    assert "the reference, 60 Ry, failed: no memory" in page


def test_the_drawing_is_one_svg_with_a_panel_a_series(convergence_node, tmp_path):
    text = write_convergence(convergence_node(), tmp_path / "test.svg").read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    for words in ("force error (eV/Å)", "stress error (GPa)", "cutoff of the waves (Ry)", "distance of k-points"):
        assert words in text


def test_the_page_says_what_the_check_of_the_proposal_found(convergence_node, tmp_path):
    node = convergence_node()
    page = write_convergence(node, tmp_path / "test.html").read_text()
    assert node.outputs["result"]["cross_check"]["sentence"] in page
    assert "Largest force error 0.005 eV/Å" in page


def test_the_drawing_may_be_an_image(convergence_node, tmp_path):
    node = convergence_node()
    image = write_convergence(node, tmp_path / "test.png")
    with Image.open(image) as opened:
        assert opened.format == "PNG"
        assert opened.width > opened.height > 500
    assert write_convergence(node, tmp_path / "again.png").read_bytes() == image.read_bytes()


def test_cells_mark_the_proposal_and_the_reference(convergence_node):
    result = convergence_node().outputs["result"].get_dict()
    rows = cells(result["series"]["cutoff"])
    assert [remark for _, remark in rows] == ["", "proposed", "reference"]
    assert {len(values) for values, _ in rows} == {len(HEADER)}
    assert rows[0][0] == ["30 Ry", "0.01", "0.0058", "0", "0", "2.00", "1.5"]
    assert fixed(result, "cutoff") == "dual 8, mesh 1x1x1"
    assert fixed(result, "kpoints") == "40 Ry, dual 8"


def test_a_process_without_result_is_refused(tmp_path):
    node = orm.WorkChainNode().store()
    with pytest.raises(InputError, match="has no result of a convergence test"):
        write_convergence(node, tmp_path / "test.html")
