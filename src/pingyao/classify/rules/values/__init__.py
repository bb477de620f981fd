"""What the values of a column say: profiles that merge, evidence and findings drawn from them."""

from pingyao.classify.rules.values.profile import EMPTY, Profile, merge, profile
from pingyao.classify.rules.values.weigh import findings, weigh

__all__ = ["EMPTY", "Profile", "findings", "merge", "profile", "weigh"]
