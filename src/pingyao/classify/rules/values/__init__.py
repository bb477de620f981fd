"""What the values of a column say: profiles that merge, evidence and findings drawn from them."""

from pingyao.classify.rules.values.profile import EMPTY, Profile, bare, merge, profile, shifted
from pingyao.classify.rules.values.weigh import findings, weigh

__all__ = ["EMPTY", "Profile", "bare", "findings", "merge", "profile", "shifted", "weigh"]
