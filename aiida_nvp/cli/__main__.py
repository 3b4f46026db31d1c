"""``python -m aiida_nvp.cli`` is ``aiida-nvp``."""

from aiida_nvp.cli import nvp

if __name__ == "__main__":
    nvp(prog_name="aiida-nvp")
