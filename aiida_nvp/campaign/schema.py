"""The campaign file as one typed, frozen model. Units are in the names where they are not eV, angstrom, ps or K."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aiida_nvp.analysis.structure.settings import StructureSettings
from aiida_nvp.campaign.stages import MdSpec, MdStage, Temperature
from aiida_nvp.common.bounds import Count, CountFromZero, DistanceScale, ElementPairs, FrictionPerFs, Positive
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import LabellerName, LabelMode
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.selection.settings import DrawSettings
from aiida_nvp.structures.grid import grid_cells

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
ForceError = Annotated[float, Field(gt=0, le=50, description="eV/angstrom")]

_DENSITY_RANGE_G_CM3 = (0.3, 25.0)
_KG_M3_PER_G_CM3 = 1000.0


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CellSpec(_Strict):
    """One glass composition packed into one size of cell.

    :param oxides: formula to moles, in any common scale.
    :param reduced: element to the fraction of its atoms that are one electron below their full oxidation state
        (V4+ among V5+).
    :param atoms: size of the cell; the number must fit the composition exactly.
    :param density_g_cm3: mass density; the model of the structures room when absent.
    :param rattle: standard deviation of random displacements in angstrom after packing.
    """

    name: Annotated[str, Field(min_length=1)]
    oxides: Annotated[dict[str, Positive], Field(min_length=1)]
    reduced: dict[str, Share] = {}
    atoms: Annotated[int, Field(ge=2, le=1_000_000)]
    density_g_cm3: float | None = None
    copies: Count = 1
    rattle: Annotated[float, Field(ge=0, le=1)] = 0.0

    @field_validator("density_g_cm3")
    @classmethod
    def _plausible_density(cls, value: float | None) -> float | None:
        low, high = _DENSITY_RANGE_G_CM3
        if value is None or low <= value <= high:
            return value
        hint = f"; {value:g} kg/m3 would be {value / _KG_M3_PER_G_CM3:g}" if value > high else ""
        raise ValueError(f"a density in g/cm3 lies between {low} and {high}, got {value:g}{hint}")


class GridSpec(_Strict):
    """Cells at every combination of the listed moles and shares, each rounded to a whole, neutral cell.

    :param oxides: formula to moles, one value or a list.
    :param reduced: element to the fraction that is reduced, one value or a list.
    :param atoms: wanted size, which a cell may miss by a few atoms.
    """

    name: Annotated[str, Field(min_length=1)]
    oxides: Annotated[dict[str, NotNegative | tuple[NotNegative, ...]], Field(min_length=1)]
    reduced: dict[str, Share | tuple[Share, ...]] = {}
    atoms: Annotated[int, Field(ge=2, le=1_000_000)]
    density_g_cm3: float | None = None
    copies: Count = 1
    rattle: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _all_points_have_cells(self) -> GridSpec:
        try:
            grid_cells(self.model_dump())
        except InputError as error:
            raise ValueError(str(error).rstrip(".")) from error
        return self

    @property
    def cells(self) -> tuple[CellSpec, ...]:
        """One cell a point."""
        return tuple(CellSpec.model_validate(cell) for cell in grid_cells(self.model_dump()))


class LabellerSpec(_Strict):
    """Who makes the labels and how.

    :param kind: ``quantumespresso``, or ``rehearsal``, an analytic stand-in for trying a campaign out.
    :param code: label of the code; what ``aiida-nvp setup`` registered when absent.
    :param pseudos: label of an installed pseudopotential family.
    :param in_flight: labels that run at once.
    :param max_failed_share: a batch stops early above this share of failures.
    :param branch_share: share of the labels that are made again from another start of the spins, beside flagged ones.
    :param protocol: level of care; its settings and the cutoffs that the family recommends stand where ``settings``
        names none. Without it, defaults do.
    """

    kind: LabellerName
    protocol: Literal["fast", "balanced", "stringent"] | None = None
    code: str | None = None
    pseudos: str | None = None
    in_flight: Annotated[int, Field(ge=1, le=100)] = 8
    max_failed_share: Share = 0.2
    branch_share: Share = 0.1
    max_wallclock_s: Count | None = None
    settings: LabelSettings = LabelSettings()


class SeedingSpec(_Strict):
    """Where the first labels come from: the ionic steps of short runs of the labeller on the packed cells.

    :param mode: relaxations, MD runs from rest towards ``md_temperature``, or the packed cells alone.
    """

    mode: LabelMode = LabelMode.RELAX
    relax_steps: Annotated[int, Field(ge=1, le=1000)] = 10
    md_steps: Annotated[int, Field(ge=2, le=1000)] = 12
    md_temperature: Temperature = 1200.0

    @property
    def labels_per_cell(self) -> int:
        """Labels that one cell gives at most."""
        return {LabelMode.RELAX: self.relax_steps, LabelMode.MD: self.md_steps}.get(self.mode, 1)


class ExplorationSpec(MdSpec):
    """Exploratory MD on one member, watched by the committee every ``stride`` steps.

    :param cells: packed anew each cycle as starting points; the cells of the campaign when absent.
    :param schedules: replica r follows schedule r modulo their number.
    :param min_distance_scale: atoms closer than this times the sum of their covalent radii end a replica.
    """

    cells: tuple[CellSpec, ...] = ()
    schedules: Annotated[tuple[Annotated[tuple[MdStage, ...], Field(min_length=1)], ...], Field(min_length=1)]
    replicas: Count = 16
    friction_per_fs: FrictionPerFs = 0.02
    stride: Count = 20
    max_temperature: Temperature = 6000.0
    min_distance_scale: Annotated[DistanceScale, Field(gt=0)] = 0.6


class SelectionSpec(DrawSettings):
    """How a batch of labels is drawn from the candidates: first what is physical, then new, uncertain, and diverse.

    :param labels_per_cycle: label budget of one cycle.
    """

    labels_per_cycle: Annotated[int, Field(ge=1, le=10_000)] = 32


class UncertaintySpec(_Strict):
    """The user's accuracy goal; thresholds follow from it once the committee is calibrated.

    :param target_force_error: eV/angstrom, root mean square per component.
    :param risk: share of the atoms below the lower threshold that may err by more than the target; without it the lower
        threshold is an expected error as large as the target.
    :param lower_raw: with ``upper_raw`` and ``break_raw``, eV/angstrom of raw committee deviation: used before the
        first calibration only.
    """

    target_force_error: ForceError = 0.12
    risk: Annotated[float, Field(gt=0, lt=1)] | None = None
    lower_raw: ForceError = 0.15
    upper_raw: ForceError = 0.7
    break_raw: ForceError = 1.5

    @model_validator(mode="after")
    def _rising(self) -> UncertaintySpec:
        if not self.lower_raw < self.upper_raw <= self.break_raw:
            raise ValueError("thresholds must rise: lower_raw < upper_raw <= break_raw")
        return self


class ObservablesSpec(_Strict):
    """What has to be settled before a campaign is converged, measured on the replicas of each exploration.

    :param pairs: ``centre-ligand`` to the longest bond, for coordination and partial g(r); those of ``analysis`` when
        absent.
    :param formers: species whose Q^n are counted; each needs its pair.
    :param mobile: species whose displacement is followed; that of ``analysis`` when absent.
    """

    pairs: ElementPairs | None = None
    formers: tuple[str, ...] = ()
    mobile: str | None = None


class StopSpec(_Strict):
    """When a campaign ends.

    :param max_cycles: budget of cycles.
    :param max_labels: budget of labelled frames, seeds included; a cycle that begins within it is labelled whole.
    :param max_core_hours: budget of the loop, production left out; a cycle that begins within it is run whole.
    :param uncertain_share: share of fresh, unbiased frames that may still be uncertain in a converged campaign.
    :param species: species whose calibration is judged each on its own, of the others the worst is; when absent those
        that a cell names in ``reduced``.
    :param observables: what has to be settled; nothing when absent.
    """

    max_cycles: Count = 10
    max_labels: Count = 1000
    max_core_hours: Positive | None = None
    uncertain_share: Share = 0.02
    species: tuple[str, ...] | None = None
    observables: ObservablesSpec | None = None


class ProductionSpec(MdSpec):
    """The run that the potential was made for."""

    cell: CellSpec
    schedule: Annotated[tuple[MdStage, ...], Field(min_length=1)]
    relax_steps: CountFromZero = 100
    friction_per_fs: FrictionPerFs = 0.01
    dump_every: Count = 10
    committee_every: Count = 25
    max_temperature: Temperature = 8000.0


class AnalysisSpec(_Strict):
    """What is measured on the production run; stages named here are analysed each for itself.

    :param stages: names of stages of the production schedule; all named ones when absent.
    :param pairs: ``centre-ligand`` to the longest bond that counts.
    :param mobile: the species whose percolation, displacements and jumps are measured; none when absent.
    :param charges: elementary charges of an ion by species, for the conductivity; none is computed without them.
    :param glass_transition: K; stages above it tell of the melt and are left out of the activation energy.
    :param bin_width: of the radial distribution, angstrom.
    :param structure: what else is measured of the structure: the network of ``formers``, S(Q), rings, cavities.
    """

    stages: tuple[str, ...] = ()
    pairs: ElementPairs = {}
    mobile: str | None = None
    charges: dict[str, float] = {}
    glass_transition: Positive | None = None
    bin_width: Positive = 0.05
    structure: StructureSettings = StructureSettings()


class ComputeSpec(_Strict):
    """Where worker programs run.

    :param worker: label of the worker code; what ``aiida-nvp setup`` registered when absent.
    :param processes: processes of one exploration job.
    """

    worker: str | None = None
    processes: Annotated[Count, Field(le=256)] = 1
    max_wallclock_s: Count | None = None


class Campaign(_Strict):
    """One campaign: from compositions to answers.

    :param name: of the campaign and, with ``nvp/`` before it, of the group that holds its results.
    :param seed: the one seed that all others follow from.
    :param potential: folder with a ``potential.yaml``, or the name of one in ``potentials``.
    :param training: training settings that differ from those of the potential, by name.
    :param parent: UUID, pk or label of a potential in the profile whose weights every member begins with, instead of
        random ones; rounds from scratch begin with them again.
    :param cells: what the campaign begins with; ``cells`` or ``grids`` are needed.
    :param grids: more of it, composition by composition.
    :param production: none when absent.
    """

    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    title: str
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    potential: str
    training: dict[str, float] = {}
    parent: Annotated[str, Field(min_length=1)] | None = None
    cells: tuple[CellSpec, ...] = ()
    grids: tuple[GridSpec, ...] = ()
    labeller: LabellerSpec
    seeding: SeedingSpec = SeedingSpec()
    uncertainty: UncertaintySpec = UncertaintySpec()
    exploration: ExplorationSpec
    selection: SelectionSpec = SelectionSpec()
    stop: StopSpec = StopSpec()
    production: ProductionSpec | None = None
    analysis: AnalysisSpec = AnalysisSpec()
    compute: ComputeSpec = ComputeSpec()

    @model_validator(mode="after")
    def _something_to_begin_with(self) -> Campaign:
        if not self.all_cells:
            raise ValueError("give `cells`, `grids` or both: a campaign begins with something")
        return self

    @property
    def all_cells(self) -> tuple[CellSpec, ...]:
        """The cells, and after them those of the grids."""
        return (*self.cells, *(cell for grid in self.grids for cell in grid.cells))

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return self.model_dump(mode="json")
