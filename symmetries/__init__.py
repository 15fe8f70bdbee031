"""Finite groups, characters, space groups of finite crystals, and symmetry sectors. NumPy only."""

from symmetries import axial, cubic
from symmetries._errors import GradketError, SymmetryError
from symmetries.action import Action
from symmetries.antiperiodic import antiperiodic_group
from symmetries.automorphism import Automorphisms, automorphisms
from symmetries.characters import CharacterTable, Irrep, character_table
from symmetries.crystal import Crystal
from symmetries.decomposition import sectors
from symmetries.group import FiniteGroup
from symmetries.internal import Internal, ParticleHole, SpinFlip, TimeReversal
from symmetries.little_group import LittleIrrep
from symmetries.named import named_point_group, schoenflies
from symmetries.names import isometry_name
from symmetries.permutation_group import PermutationGroup
from symmetries.point_group import C, D, PointGroup, inversion, point_group
from symmetries.projective import ProjectiveIrrep, projective_characters, projective_irreps
from symmetries.representation import irrep_matrices
from symmetries.sector import Representatives, Sector
from symmetries.space_group import SpaceGroup, space_group, translation_group

__all__ = [
    "Action",
    "Automorphisms",
    "C",
    "CharacterTable",
    "Crystal",
    "D",
    "FiniteGroup",
    "GradketError",
    "Internal",
    "Irrep",
    "LittleIrrep",
    "ParticleHole",
    "PermutationGroup",
    "PointGroup",
    "ProjectiveIrrep",
    "Representatives",
    "Sector",
    "SpaceGroup",
    "SpinFlip",
    "SymmetryError",
    "TimeReversal",
    "antiperiodic_group",
    "automorphisms",
    "axial",
    "character_table",
    "cubic",
    "inversion",
    "irrep_matrices",
    "isometry_name",
    "named_point_group",
    "point_group",
    "projective_characters",
    "projective_irreps",
    "schoenflies",
    "sectors",
    "space_group",
    "translation_group",
]
