"""Tasks made from the statutes. Importing this package registers them all."""

from curricula.tasks import (  # noqa: F401  (registration)
    age,
    application,
    charge,
    choice,
    elements,
    exam,
    governing_law,
    grounded,
    judgment,
    limitation,
    parole,
    recitation,
    sentence_terms,
)
from curricula.tasks.registry import TASKS, Task, find_task, make_prompts, task

__all__ = ["TASKS", "Task", "find_task", "make_prompts", "task"]
