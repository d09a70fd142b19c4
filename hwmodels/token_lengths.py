"""Lengths of prompts and answers of language-model requests, as measured in public traces.

Model
-----
A length is drawn by the inverse of its quantile table: between two listed points the logarithm of the length is linear
in the probability. A request of `classes` classes is one of so many lengths, each with the same probability and each
the mean of the lengths it stands for, so that the mean of all is that of the table.

Limits
------
The table gives the published mean within 3.6 % (answers of `azure_2023_code`: 8 %). Fitted log-normal distributions
were left out: real lengths are cut by context limits, and their tails are wrong by factors of 2 to 5. A class has the
mean length, so what grows with the square of the length (attention) is counted too low inside a class: by 9 % over a
class of lengths between 1 and 3 times the shortest. Prompt and answer are taken as independent; their correlation is
below 0.12 in the traces but for `mooncake_synthetic` (-0.37) and `arxiv_summarization` (-0.46).

References
----------
P. Patel et al., "Splitwise", ISCA 2024 (Azure public dataset, traces of November 2023, CC-BY).
R. Qin et al., "Mooncake", FAST 2025 (its public traces).
A. Agrawal et al., "Vidur", MLSys 2024 (its file of arXiv summarisation lengths, prompts cut at 4,096 tokens in all).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import final

import numpy as np

__all__ = ["LENGTHS", "PERCENTS", "Lengths", "mean_power", "quantile"]

PERCENTS = (0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)
"""Where the tables give quantiles [%]."""

Table = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Measured lengths of one kind of request.

    Parameters
    ----------
    prompt, answer : quantiles at `PERCENTS`, non-decreasing [tokens].
    """

    prompt: Table
    answer: Table
    summary: str
    source: str

    def prompt_classes(self, count: int) -> list[float]:
        """Mean length of each of `count` equally likely classes of prompts, the shortest first [tokens]."""
        return [mean_power(self.prompt, k / count, (k + 1) / count) for k in range(count)]

    @property
    def mean_position(self) -> float:
        """Place of a token in its answer, mean over all tokens of all answers: E[m (m + 1) / 2] / E[m] [tokens]."""
        return 0.5 * (mean_power(self.answer, power=2) / mean_power(self.answer) + 1.0)


def quantile(table: Table, probability: float) -> float:
    """Length that a share `probability` in [0, 1] does not exceed [tokens]."""
    return float(np.exp(np.interp(100.0 * probability, PERCENTS, np.log(table))))


def mean_power(table: Table, low: float = 0.0, high: float = 1.0, power: int = 1) -> float:
    """Mean of length ** power between two probabilities, exact for what `quantile` interpolates [tokens ** power]."""
    inside = [p / 100.0 for p in PERCENTS if low < p / 100.0 < high]
    edges = [low, *inside, high]
    total = 0.0
    for left, right in pairwise(edges):
        a, b = quantile(table, left), quantile(table, right)
        same = b <= a * (1.0 + 1e-9)
        total += (right - left) * (a**power if same else (b**power - a**power) / (power * np.log(b / a)))
    return float(total / (high - low))


LENGTHS: Mapping[str, Lengths] = MappingProxyType({
    "azure_2023_code": Lengths(
        prompt=(3, 17, 75, 147, 578, 1469, 2744, 5188, 7303, 7436, 7437, 7437),
        answer=(6, 6, 6, 7, 9, 13, 24, 55, 90, 251, 825, 1899),
        summary="code completion, 8,819 requests; they come with a rate of 2.57 Hz and a gap_cv of 13",
        source="Azure public dataset, AzureLLMInferenceTrace_code, 2023-11-16; Patel et al., ISCA 2024"),
    "azure_2023_conversation": Lengths(
        prompt=(2, 29, 181, 207, 396, 1020, 1189, 2734, 4083, 4142, 6179, 14050),
        answer=(7, 16, 41, 54, 85, 129, 395, 424, 451, 601, 954, 1000),
        summary="conversation, 19,366 requests; nearly Poisson at a rate that swings about 5.53 Hz",
        source="Azure public dataset, AzureLLMInferenceTrace_conv, 2023-11-16; Patel et al., ISCA 2024"),
    "mooncake_conversation": Lengths(
        prompt=(891, 894, 901, 964, 2306, 6909, 15367, 27367, 39550, 85400, 121301, 126195),
        answer=(1, 3, 10, 24, 156, 350, 472, 597, 698, 1119, 2000, 2000),
        summary="conversation with long contexts, 12,031 requests at 3.4 Hz; 37 % of prompt blocks were seen before",
        source="Mooncake, conversation_trace; Qin et al., FAST 2025"),
    "mooncake_synthetic": Lengths(
        prompt=(13, 16, 22, 30, 277, 11587, 23175, 38611, 48905, 66456, 191373, 191378),
        answer=(1, 2, 2, 4, 11, 69, 250, 389, 519, 768, 813, 893),
        summary="mix of public data sets, 3,993 requests, Poisson at 3.9 Hz",
        source="Mooncake, synthetic_trace; Qin et al., FAST 2025"),
    "arxiv_summarization": Lengths(
        prompt=(1, 73, 749, 1242, 1986, 2730, 3370, 3702, 3813, 3933, 4012, 4054),
        answer=(5, 36, 60, 78, 115, 167, 242, 372, 736, 3271, 3844, 4056),
        summary="summaries of papers, 28,257 lengths without arrival times",
        source="Vidur, arxiv_summarization_stats_llama2_tokenizer_filtered_v2; Agrawal et al., MLSys 2024"),
})
