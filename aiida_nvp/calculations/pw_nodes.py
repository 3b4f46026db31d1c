"""Nodes of pw.x calculations that are there already: which of them give labels, and what they were given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent, NotExistentAttributeError
from aiida_quantumespresso.calculations.pw import PwCalculation

from aiida_nvp.labelling.pw_level import PwRun
from aiida_nvp.labelling.scf_remedies import asked_parameters
from aiida_nvp.labelling.upf import Pseudo, read_upf

PW_PLUGIN = "aiida.calculations:quantumespresso.pw"
"""Process type of what is looked for."""
_MOVING = ("relax", "vc-relax", "md", "vc-md")
_MESH_MAKER = "create_kpoints_from_distance"
_ASKED = "pw__parameters"
_LABELS = {"energy", "forces"}


@dataclass
class Gathered:
    """Inputs of ``import_calculations`` for a number of calculations, by namespace and key of the calculation.

    :param left_out: ``{"calculation", "process", "reason"}`` of each calculation that gives no label.
    """

    namespaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of calculations that give labels."""
        return len(self.namespaces.get("trajectories", {}))

    def put(self, namespace: str, key: str, node: object) -> None:
        """Take one input of one calculation."""
        self.namespaces.setdefault(namespace, {})[key] = node


def gather(jobs: Iterable[orm.CalcJobNode]) -> Gathered:
    """Sort calculations into those that give labels and those that do not, and collect the nodes that tell about them.

    A single point counts only if its job ended well. The steps of a relaxation or an MD run stand on their own: those
    before a failure are as good as any. Keys number the calculations in the order in which they were made.
    """
    found = Gathered()
    for number, job in enumerate(sorted({job.uuid: job for job in jobs}.values(), key=lambda job: int(job.pk or 0))):
        try:
            nodes = _nodes(job)
        except _UselessError as useless:
            found.left_out.append({"calculation": calculation_name(job), "process": job.uuid, "reason": str(useless)})
            continue
        for namespace, node in nodes.items():
            found.put(namespace, f"calculation_{number:05d}", node)
    return found


def calculation_name(job: orm.ProcessNode) -> str:
    """Return how a calculation is called in a sentence."""
    return f"{job.process_label or 'PwCalculation'}<{job.pk}>"


def xml_of(retrieved: orm.FolderData) -> bytes | None:
    """Return the content of the XML file that pw.x left, of any release, or None if there is none."""
    names = retrieved.base.repository.list_object_names()
    found = next((name for name in PwCalculation.xml_filenames if name in names), None)
    return None if found is None else retrieved.get_object_content(found, mode="rb")


def stdout_of(retrieved: orm.FolderData) -> str:
    """Return what pw.x wrote to its standard output, or an empty string if that was not kept."""
    job = retrieved.creator
    stated = job.get_option("output_filename") if isinstance(job, orm.CalcJobNode) else None
    name = stated or PwCalculation._DEFAULT_OUTPUT_FILE
    if name not in retrieved.base.repository.list_object_names():
        return ""
    return retrieved.get_object_content(name, mode="rb").decode(errors="replace")


def read_run(namespaces: Mapping[str, Mapping[str, Any]], key: str, known: dict[str, Pseudo] | None = None) -> PwRun:
    """Return what the calculation called ``key`` was given, as plain values.

    :param namespaces: as of :func:`gather`.
    :param known: pseudopotentials that were read before, by UUID; those read now are added.
    """
    known = {} if known is None else known
    for node in namespaces["pseudos"][key].values():
        if node.uuid not in known:
            known[node.uuid] = read_upf(node.get_content(mode="rb"))
    structure: orm.StructureData = namespaces["structures"][key]
    settings = namespaces.get("settings", {}).get(key)
    distance = namespaces.get("distances", {}).get(key)
    parameters, asked = namespaces["parameters"][key].get_dict(), namespaces.get("asked", {}).get(key)
    if asked is not None:
        parameters = asked_parameters(asked.get_dict(), parameters)
    hubbard = getattr(structure, "hubbard", None)
    return PwRun(
        atoms=structure.get_ase(),
        kinds=tuple(site.kind_name for site in structure.sites),
        parameters=parameters,
        pseudos={kind: known[node.uuid] for kind, node in namespaces["pseudos"][key].items()},
        settings={} if settings is None else {name.upper(): value for name, value in settings.get_dict().items()},
        distance=None if distance is None else float(distance.value),
        hubbard=None if hubbard is None else hubbard.model_dump(mode="json"),
        **_kpoints(namespaces["kpoints"][key]),
    )


class _UselessError(Exception):
    """A calculation gives no label; the message says why."""


def _nodes(job: orm.CalcJobNode) -> dict[str, Any]:
    if not job.is_terminated:
        raise _UselessError("it has not ended")
    outputs = {link.link_label: link.node for link in job.base.links.get_outgoing(node_class=orm.Data).all()}
    inputs = job.base.links.get_incoming(node_class=orm.Data).nested()
    if not {"output_trajectory", "output_parameters"} <= outputs.keys():
        raise _UselessError(f"it gave no trajectory{_why(job)}")
    missing = [name for name in ("structure", "parameters", "kpoints", "pseudos") if name not in inputs]
    if missing:
        raise _UselessError(f"its input {' and '.join(missing)} is not in this profile")
    if "hubbard_file" in inputs:
        raise _UselessError("its Hubbard parameters stand in a file, which is not read")
    kind = inputs["parameters"].get_dict().get("CONTROL", {}).get("calculation", "scf")
    if kind not in _MOVING and not job.is_finished_ok:
        raise _UselessError(f"it failed{_why(job)}")
    if not set(outputs["output_trajectory"].get_arraynames()) >= _LABELS:
        raise _UselessError("it wrote no forces (`tprnfor`)")
    nodes = {
        "trajectories": outputs["output_trajectory"],
        "results": outputs["output_parameters"],
        "structures": inputs["structure"],
        "parameters": inputs["parameters"],
        "kpoints": inputs["kpoints"],
        "pseudos": dict(inputs["pseudos"]),
    }
    given = {
        "settings": inputs.get("settings"),
        "distances": _distance(inputs["kpoints"]),
        "retrieved": outputs.get("retrieved"),
        "asked": _asked(job, inputs["parameters"]),
    }
    return nodes | {name: node for name, node in given.items() if node is not None}


def _asked(job: orm.CalcJobNode, used: orm.Dict) -> orm.Dict | None:
    """Return the parameters that the work chain over a job was given, where the job had others."""
    caller = job.caller
    given = None if caller is None else caller.base.links.get_incoming(link_label_filter=_ASKED).first()
    node = None if given is None else given.node
    return node if isinstance(node, orm.Dict) and node.uuid != used.uuid else None


def _why(job: orm.CalcJobNode) -> str:
    return f": {job.exit_message.strip()}" if job.exit_message else ""


def _distance(kpoints: orm.KpointsData) -> orm.Float | None:
    """Return the distance that the mesh was made from, where aiida-quantumespresso made it from one."""
    maker = kpoints.creator
    if maker is None or maker.process_label != _MESH_MAKER:
        return None
    try:
        distance = maker.inputs.distance
    except (NotExistent, NotExistentAttributeError):
        return None
    return distance if isinstance(distance, orm.Float) else None


def _kpoints(node: orm.KpointsData) -> dict[str, Any]:
    try:
        mesh, offset = node.get_kpoints_mesh()
    except AttributeError:
        points = node.get_kpoints().tolist()
        try:
            weights = node.get_array("weights").tolist()
        except (AttributeError, KeyError):
            weights = [1.0] * len(points)
        return {"points": [[*point, weight] for point, weight in zip(points, weights, strict=True)]}
    return {"mesh": tuple(int(count) for count in mesh), "offset": tuple(float(step) for step in offset)}
