"""The parallel label systems one piece of data carries, and how labels combine."""

from collections.abc import Iterable
from enum import IntEnum

import msgspec


class Level(IntEnum):
    """Security level 1–5; 5 is only ever proposed (Cites: JR/T 0197-2020)."""

    L1 = 1
    L2 = 2
    L3 = 3
    L4 = 4
    L5 = 5


class PersonalClass(IntEnum):
    """Class of personal financial information (Cites: JR/T 0171-2020, 4.2)."""

    NONE = 0
    C1 = 1
    C2 = 2
    C3 = 3


class Tier(IntEnum):
    """Tier of an institution's data (Cites: 金规〔2024〕24号)."""

    GENERAL_OTHER = 1
    GENERAL_SENSITIVE = 2
    IMPORTANT = 3
    CORE = 4


class BusinessTier(IntEnum):
    """Tier of central-bank business data (Cites: 中国人民银行令〔2025〕第3号)."""

    GENERAL = 1
    IMPORTANT = 2
    CORE = 3


class NationalTier(IntEnum):
    """National tier (Cites: GB/T 43697-2024)."""

    GENERAL = 1
    IMPORTANT = 2
    CORE = 3


class Labels(msgspec.Struct, frozen=True):
    """One asset's labels, decided ones and proposed ones.

    Attributes:
        level: JR/T 0197 level in force; never 5 unless a person decided so.
        personal: JR/T 0171 class.
        tier: 金规 tier in force; never above general-sensitive unless a person decided so.
        business: PBoC Order 2025 No. 3 tier in force.
        high_sensitivity: whether the item is a 高敏感性数据项 of that order.
        national: GB/T 43697 tier in force.
        proposed_important: whether a person should decide if this is important data (level 5).
        proposed_core: whether a person should decide if this is core data.
    """

    level: Level = Level.L1
    personal: PersonalClass = PersonalClass.NONE
    tier: Tier = Tier.GENERAL_OTHER
    business: BusinessTier = BusinessTier.GENERAL
    high_sensitivity: bool = False
    national: NationalTier = NationalTier.GENERAL
    proposed_important: bool = False
    proposed_core: bool = False

    def join(self, other: "Labels") -> "Labels":
        """Returns the stricter of both in every system (就高从严)."""
        return Labels(
            level=max(self.level, other.level),
            personal=max(self.personal, other.personal),
            tier=max(self.tier, other.tier),
            business=max(self.business, other.business),
            high_sensitivity=self.high_sensitivity or other.high_sensitivity,
            national=max(self.national, other.national),
            proposed_important=self.proposed_important or other.proposed_important,
            proposed_core=self.proposed_core or other.proposed_core,
        )


def highest(labels: Iterable[Labels]) -> Labels:
    """Returns the join of all labels; of none, the lowest."""
    result = Labels()
    for each in labels:
        result = result.join(each)
    return result
