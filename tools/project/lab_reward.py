"""A reward of your own: from a sample to a score (README.md says how to try it)."""

from rewards.verdict import Sample, Verdict


def names_the_period(sample: Sample) -> Verdict:
    """1 if the reasoning names the right period, which a right answer alone may have guessed."""
    period = "10日" if "判决书" in sample.prompt else "5日"
    named = f"期限{period}" in sample.completion
    return Verdict(float(named), reason="" if named else f"the period of {period} is not named")
