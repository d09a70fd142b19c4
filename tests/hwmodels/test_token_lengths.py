"""Measured token lengths: the published means, draws against the closed form, classes."""

import numpy as np
import pytest

from hwmodels.token_lengths import LENGTHS, PERCENTS, mean_power, quantile

# Means of the traces themselves [tokens]: prompt, answer.
PUBLISHED = {
    "azure_2023_code": (2047.8, 27.9), "azure_2023_conversation": (1154.7, 211.1),
    "mooncake_conversation": (12035.1, 342.6), "mooncake_synthetic": (15325.5, 149.1),
    "arxiv_summarization": (2588.1, 291.4),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_means_of_the_traces(name: str) -> None:
    record = LENGTHS[name]
    prompt, answer = PUBLISHED[name]
    assert mean_power(record.prompt) == pytest.approx(prompt, rel=0.036)
    assert mean_power(record.answer) == pytest.approx(answer, rel=0.08 if name == "azure_2023_code" else 0.036)


@pytest.mark.parametrize("name", LENGTHS)
def test_tables(name: str) -> None:
    for table in (LENGTHS[name].prompt, LENGTHS[name].answer):
        assert len(table) == len(PERCENTS)
        assert list(table) == sorted(table)
        assert [quantile(table, percent / 100) for percent in PERCENTS] == pytest.approx(list(table))


def test_closed_form_against_a_fine_sum() -> None:
    table = LENGTHS["azure_2023_conversation"].prompt
    middles = (np.arange(200_000) + 0.5) / 200_000
    lengths = np.array([quantile(table, u) for u in middles[::20]])
    assert mean_power(table) == pytest.approx(lengths.mean(), rel=1e-3)
    assert mean_power(table, power=2) == pytest.approx((lengths**2).mean(), rel=1e-2)
    assert mean_power(table, 0.25, 0.5) == pytest.approx(lengths[2500:5000].mean(), rel=1e-3)


@pytest.mark.parametrize("count", [1, 3, 4, 64])
def test_classes_keep_the_mean(count: int) -> None:
    record = LENGTHS["mooncake_synthetic"]
    classes = record.prompt_classes(count)
    assert classes == sorted(classes)
    assert np.mean(classes) == pytest.approx(mean_power(record.prompt))


def test_mean_position_of_a_token() -> None:
    record = LENGTHS["azure_2023_conversation"]
    answers = np.array([quantile(record.answer, (k + 0.5) / 5000) for k in range(5000)])
    assert record.mean_position == pytest.approx((answers * (answers + 1) / 2).sum() / answers.sum(), rel=1e-2)
