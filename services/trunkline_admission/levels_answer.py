"""What operators and the servicer are told of levels."""

from __future__ import annotations

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.level_keeper import LevelKeeper
from trunkline_admission.report_messages import service_level, tier_levels


class LevelsAnswer:
    """Answers from memory; never waits."""

    def __init__(self, keeper: LevelKeeper) -> None:
        """Tell what `keeper` keeps."""
        self._keeper = keeper

    async def answer(self) -> usage_pb.GetLevelsResponse:
        """Return the levels of all tiers, lowest rank first."""
        return usage_pb.GetLevelsResponse(levels=tier_levels(self._keeper.states), routers=self._keeper.routers)

    def level_of(self, tier: str) -> quota_pb.ServiceLevel.ValueType:
        """Return a tier's level; NORMAL for a tier that the tier file does not have."""
        return service_level(self._keeper.level_of(tier))
