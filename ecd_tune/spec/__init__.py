"""The study file: its model, its loading with messages, and its fingerprint."""

from ecd_tune.spec.auto import adopt_sampler
from ecd_tune.spec.checkpoints import PLACES, CheckpointPlace, CheckpointSpec, parse_place
from ecd_tune.spec.checks import CheckSpec, find_study_check
from ecd_tune.spec.cost import CostSpec
from ecd_tune.spec.find import examples_folder, find_study, shipped_studies, studies_folder
from ecd_tune.spec.identity import differences, fingerprint_of
from ecd_tune.spec.launch import LaunchSpec, parse_minutes
from ecd_tune.spec.load import load_study, parse_study, point_problems
from ecd_tune.spec.model import StudySpec
from ecd_tune.spec.own import OWN_OPTIMIZERS, own_study
from ecd_tune.spec.parts import (
    Budget,
    Confirmation,
    FirstTrial,
    OptimizerSpec,
    Reference,
    Retries,
    SamplerSpec,
)
from ecd_tune.spec.pruning import PruningSpec
from ecd_tune.spec.rungs import Rungs, choose_promoted
from ecd_tune.spec.sampler import SAMPLER_OPTIONS
from ecd_tune.spec.searches import (
    SearchSpec,
    SelectionSpec,
    number_of,
    search_key,
    without_number,
)
from ecd_tune.spec.training import SEARCHABLE_SCHEDULE, Averaging, Schedule, TrainingSpec
from ecd_tune.spec.write import study_table

__all__ = [
    "OWN_OPTIMIZERS",
    "PLACES",
    "SAMPLER_OPTIONS",
    "SEARCHABLE_SCHEDULE",
    "Averaging",
    "Budget",
    "CheckSpec",
    "CheckpointPlace",
    "CheckpointSpec",
    "Confirmation",
    "CostSpec",
    "FirstTrial",
    "LaunchSpec",
    "OptimizerSpec",
    "PruningSpec",
    "Reference",
    "Retries",
    "Rungs",
    "SamplerSpec",
    "Schedule",
    "SearchSpec",
    "SelectionSpec",
    "StudySpec",
    "TrainingSpec",
    "adopt_sampler",
    "choose_promoted",
    "differences",
    "examples_folder",
    "find_study",
    "find_study_check",
    "fingerprint_of",
    "load_study",
    "number_of",
    "own_study",
    "parse_minutes",
    "parse_place",
    "parse_study",
    "point_problems",
    "search_key",
    "shipped_studies",
    "studies_folder",
    "study_table",
    "without_number",
]
