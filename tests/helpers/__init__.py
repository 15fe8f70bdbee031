"""Helpers of the tests: exact twins, z-scores, systems with known answers."""
