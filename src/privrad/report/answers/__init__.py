"""What a study can answer of a reporting checklist by itself, with the numbers of its report.

Each answer is made from an account as it may be shown, and is a list of texts and tables. ANSWERS holds them by the
names that the checklists use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from privrad.report.account import Account
from privrad.report.answers import data, methods, results
from privrad.report.answers.pieces import Answer as Answer

ANSWERS: Mapping[str, Callable[[Account], list[Answer]]] = {
    answer.__name__: answer
    for answer in (
        *(data.sources, data.refused, data.unreadable, data.outcome, data.numbers, data.patients),
        *(data.partition, data.flow_of_images, data.deidentification, data.availability),
        *(methods.identification, methods.objectives, methods.preprocessing, methods.network, methods.initialisation),
        *(methods.training, methods.privacy, methods.imbalance, methods.output, methods.uncertainty, methods.tests),
        *(methods.robustness, methods.fairness_methods, methods.software),
        *(results.performance, results.by_finding, results.diagnostic, results.worst_group),
        *(results.in_words, results.models, results.limitations),
    )
}
