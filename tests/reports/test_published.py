"""Holding a run's score against a published one."""

import pytest

from sclip_lightning.reports.published import NOISE, Figure, judged


def figure(value=59.63, decimals=2, **other):
    return Figure("SCLIP", "README", "the README", "mIoU", value, decimals, **other)


@pytest.mark.parametrize(
    ("score", "published", "decimals", "precision", "verdict"),
    [
        (0.5963, 59.63, 2, "16 bit", "reproduces"),
        (0.597349, 59.63, 2, "16 bit", "reproduces"),  # 0.105 away, as far as may be
        (0.597351, 59.63, 2, "16 bit", "differs"),
        (0.595249, 59.63, 2, "16 bit", "differs"),
        (0.59249, 59.1, 1, "16 bit", "reproduces"),
        (0.59251, 59.1, 1, "16 bit", "differs"),
        (0.5963, 59.63, 2, "32 bit", "reproduces"),
        (0.5964, 59.63, 2, "32 bit", "reproduces"),
        (0.5965, 59.63, 2, "32 bit", "differs"),
    ],
)
def test_half_a_unit_and_a_rerun_s_noise_are_allowed(score, published, decimals, precision, verdict):
    found = judged(figure(published, decimals, precision=precision), score, "32-true")
    assert found.verdict == verdict
    assert found.reach == pytest.approx(0.5 * 10**-decimals + NOISE[precision])
    assert found.difference == pytest.approx(100 * score - published)


def test_only_float32_on_both_sides_has_the_smaller_noise():
    assert judged(figure(precision="32 bit"), 0.5, "bf16-mixed").precision == "16 bit"
    assert judged(figure(precision="32 bit"), 0.5, "32-true").precision == "32 bit"
    assert judged(figure(), 0.5, "32-true").precision == "16 bit"


@pytest.mark.parametrize(("score", "changed"), [(0.5963, ["100 images were scored, of 1449"]), (None, [])])
def test_another_experiment_and_a_score_that_does_not_exist_have_no_verdict(score, changed):
    found = judged(figure(), score, "32-true", changed, ["more"])
    assert found.verdict == "not comparable"
    assert found.reasons == [*changed, "more"]


def test_published_digits_are_shown():
    assert figure(84.0, 1).published_text() == "84.0"
    assert figure(23.4, 2).published_text() == "23.40"


@pytest.mark.parametrize(("decimals", "texts"), [(1, ("59.12", "+0.02")), (3, ("59.123", "+0.023"))])
def test_measured_digits_are_as_many_and_at_least_two(decimals, texts):
    found = judged(figure(59.1, decimals), 0.59123, "32-true")
    assert (found.measured_text(), found.difference_text()) == texts
    assert figure().measured_text() == figure().difference_text() == "-"
