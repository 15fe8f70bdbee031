"""Finite groups, characters, space groups of finite crystals, and symmetry sectors. NumPy only."""

from symmetries._errors import GradketError, SymmetryError
from symmetries.automorphism import Automorphisms, automorphisms
from symmetries.characters import CharacterTable, Irrep, character_table
from symmetries.crystal import Crystal
from symmetries.group import FiniteGroup
from symmetries.permutation_group import PermutationGroup
from symmetries.point_group import C, D, PointGroup, inversion, point_group
from symmetries.projective import ProjectiveIrrep, projective_characters, projective_irreps
from symmetries.representation import irrep_matrices
from symmetries.sector import Representatives, Sector, sectors
from symmetries.space_group import SpaceGroup, space_group, translation_group

__all__ = [
    "Automorphisms",
    "C",
    "CharacterTable",
    "Crystal",
    "D",
    "FiniteGroup",
    "GradketError",
    "Irrep",
    "PermutationGroup",
    "PointGroup",
    "ProjectiveIrrep",
    "Representatives",
    "Sector",
    "SpaceGroup",
    "SymmetryError",
    "automorphisms",
    "character_table",
    "inversion",
    "irrep_matrices",
    "point_group",
    "projective_characters",
    "projective_irreps",
    "sectors",
    "space_group",
    "translation_group",
]
