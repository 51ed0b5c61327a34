"""Taking changes back, and rows out of the past."""

from .plan import UndoPlan, plan_undo
from .restoring import restore
from .steps import Conflict, UndoStep

__all__ = ["Conflict", "UndoPlan", "UndoStep", "plan_undo", "restore"]
