"""Which command repairs a profile."""

import pytest
from aiida.manage import get_manager

from aiida_nvp.workflows.engines import USUAL_PROFILE, setup_command

pytestmark = pytest.mark.usefixtures("aiida_profile")


def test_the_usual_profile_need_not_be_named_and_any_other_is():
    assert setup_command(USUAL_PROFILE) == "aiida-nvp setup"
    assert setup_command("mine") == "aiida-nvp setup -p mine"
    assert setup_command() == f"aiida-nvp setup -p {get_manager().get_profile().name}"
