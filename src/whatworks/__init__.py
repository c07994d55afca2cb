"""whatworks: the memory of what works, for AI agents.

Names are loaded when first used: ``import whatworks`` costs a millisecond.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whatworks.async_memory import AsyncMemory as AsyncMemory
    from whatworks.errors import CopiedStoreError as CopiedStoreError
    from whatworks.errors import InvalidInputError as InvalidInputError
    from whatworks.errors import MissingExtraError as MissingExtraError
    from whatworks.errors import ModelMismatchError as ModelMismatchError
    from whatworks.errors import NotFoundError as NotFoundError
    from whatworks.errors import SchemaVersionError as SchemaVersionError
    from whatworks.errors import StoreBusyError as StoreBusyError
    from whatworks.errors import StoreClosedError as StoreClosedError
    from whatworks.errors import StoreError as StoreError
    from whatworks.errors import StoreFullError as StoreFullError
    from whatworks.errors import UnreachableError as UnreachableError
    from whatworks.errors import WhatWorksError as WhatWorksError
    from whatworks.ledgers import Calibration as Calibration
    from whatworks.ledgers import CalibrationScore as CalibrationScore
    from whatworks.ledgers import IntervalCheck as IntervalCheck
    from whatworks.ledgers import Recalibration as Recalibration
    from whatworks.ledgers import ReliabilityBin as ReliabilityBin
    from whatworks.memory import Memory as Memory
    from whatworks.records import Answer as Answer
    from whatworks.records import Backup as Backup
    from whatworks.records import Cause as Cause
    from whatworks.records import Change as Change
    from whatworks.records import ChangePoint as ChangePoint
    from whatworks.records import Cluster as Cluster
    from whatworks.records import Coincidence as Coincidence
    from whatworks.records import ContextMap as ContextMap
    from whatworks.records import ContextPoint as ContextPoint
    from whatworks.records import Contribution as Contribution
    from whatworks.records import Diff as Diff
    from whatworks.records import Erased as Erased
    from whatworks.records import Estimate as Estimate
    from whatworks.records import Evaluation as Evaluation
    from whatworks.records import Evidence as Evidence
    from whatworks.records import Explanation as Explanation
    from whatworks.records import Flip as Flip
    from whatworks.records import Forgotten as Forgotten
    from whatworks.records import Held as Held
    from whatworks.records import Judgement as Judgement
    from whatworks.records import Lift as Lift
    from whatworks.records import Match as Match
    from whatworks.records import Migration as Migration
    from whatworks.records import Mover as Mover
    from whatworks.records import NewEvent as NewEvent
    from whatworks.records import NewPattern as NewPattern
    from whatworks.records import Overview as Overview
    from whatworks.records import Pattern as Pattern
    from whatworks.records import Predicted as Predicted
    from whatworks.records import Prediction as Prediction
    from whatworks.records import Prior as Prior
    from whatworks.records import Proposal as Proposal
    from whatworks.records import Rate as Rate
    from whatworks.records import RelatedFile as RelatedFile
    from whatworks.records import Rows as Rows
    from whatworks.records import Source as Source
    from whatworks.records import Stats as Stats
    from whatworks.records import Step as Step
    from whatworks.records import Suggestion as Suggestion
    from whatworks.records import Timeline as Timeline
    from whatworks.records import Trend as Trend
    from whatworks.records import TrendDay as TrendDay
    from whatworks.records import UsageEvent as UsageEvent
    from whatworks.records import Where as Where
    from whatworks.records import Why as Why
    from whatworks.records import Working as Working
    from whatworks.text import clean_text as clean_text

__version__ = "0.1.0"

_MODULES = {
    "async_memory": "AsyncMemory",
    "errors": (
        "CopiedStoreError InvalidInputError MissingExtraError ModelMismatchError NotFoundError "
        "SchemaVersionError StoreBusyError StoreClosedError StoreError StoreFullError "
        "UnreachableError WhatWorksError"
    ),
    "ledgers": ("Calibration CalibrationScore IntervalCheck Recalibration ReliabilityBin"),
    "memory": "Memory",
    "records": (
        "Answer Backup Cause Change ChangePoint Cluster Coincidence ContextMap ContextPoint "
        "Contribution Diff Erased Estimate Evaluation Evidence Explanation Flip Forgotten Held "
        "Judgement Lift Match Migration Mover NewEvent NewPattern Overview Pattern Predicted "
        "Prediction Prior Proposal Rate RelatedFile Rows Source Stats Step Suggestion Timeline "
        "Trend TrendDay UsageEvent Where Why Working"
    ),
    "text": "clean_text",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'whatworks' has no attribute {name!r}")
    return getattr(import_module(f"whatworks.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
