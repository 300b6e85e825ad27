"""Attributes of components that are the engine's settings: its schema, its texts, its checks."""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import dagster as dg
from pydantic import BaseModel

from hoverfast_platform.assets.launchpad import SegmentationConfig
from hoverfast_platform.checks.policy import CheckPolicy
from hoverfast_platform.cohorts.plan import CohortPlan
from hoverfast_platform.config import MaskSettings
from hoverfast_platform.ingest.mpp_rules import MppRules
from hoverfast_platform.ingest.scope_rules import ScopeRules
from hoverfast_platform.ingest.stain_rules import StainRules
from hoverfast_platform.neighbourhood.measure import NeighbourhoodSettings

_Settings = TypeVar("_Settings", bound=BaseModel)


def _engine_settings(kind: type[_Settings]) -> Any:
    """An attribute that is the engine's settings: its schema, its texts, its validation."""

    def resolve(context: dg.ResolutionContext, given: _Settings) -> _Settings:
        return kind.model_validate(context.resolve_value(given.model_dump(exclude_unset=True)))

    return Annotated[Any, dg.Resolver(resolve, model_field_type=kind)]


if TYPE_CHECKING:
    MppAttribute: TypeAlias = MppRules
    StainAttribute: TypeAlias = StainRules
    ScopeAttribute: TypeAlias = ScopeRules
    MaskAttribute: TypeAlias = MaskSettings
    CheckAttribute: TypeAlias = CheckPolicy
    SegmentationAttribute: TypeAlias = SegmentationConfig
    PlanAttribute: TypeAlias = CohortPlan
    NeighbourAttribute: TypeAlias = NeighbourhoodSettings
else:  # Dagster itself would refuse fields with limits, such as `Field(gt=0)`
    StainAttribute, MaskAttribute = _engine_settings(StainRules), _engine_settings(MaskSettings)
    MppAttribute, ScopeAttribute = _engine_settings(MppRules), _engine_settings(ScopeRules)
    CheckAttribute = _engine_settings(CheckPolicy)
    SegmentationAttribute = _engine_settings(SegmentationConfig)
    PlanAttribute = _engine_settings(CohortPlan)
    NeighbourAttribute = _engine_settings(NeighbourhoodSettings)
