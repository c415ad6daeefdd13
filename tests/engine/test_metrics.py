"""Sums over the batches of an epoch, against sums by hand."""

import pytest
import torch

from runner.engine.metrics import MAX_WAITING, MetricSums

CPU = torch.device("cpu")


def add(sums, loss, predicted, labels):
    scores = torch.nn.functional.one_hot(torch.tensor(predicted), 3).float()
    sums.add(torch.tensor([loss]), (scores, torch.tensor(labels)), len(labels))


def test_losses_count_by_their_images_and_the_right_answers_are_counted():
    sums = MetricSums(1, CPU)
    add(sums, 0.5, [0, 1, 2, 2], [0, 1, 1, 2])
    add(sums, 2.0, [1, 1], [0, 1])
    assert sums.num_images == 6
    assert sums.loss_sum.tolist() == [0.5 * 4 + 2.0 * 2]
    assert sums.num_correct.tolist() == [4]
    add(sums, 1.0, [0], [0])
    assert (sums.loss_sum.tolist(), sums.num_correct.tolist(), sums.num_images) == ([7.0], [5], 7)


@pytest.mark.parametrize("number", [1, MAX_WAITING - 1, MAX_WAITING, MAX_WAITING + 1, 3 * MAX_WAITING])
def test_it_does_not_matter_how_many_batches_wait(number):
    sums = MetricSums(1, CPU)
    for _ in range(number):
        add(sums, 0.25, [0, 1], [0, 2])
    assert len(sums._waiting) == number % MAX_WAITING
    assert sums.loss_sum.tolist() == [0.5 * number]
    assert sums.num_correct.tolist() == [number]
    assert sums.num_images == 2 * number


def test_large_scores_do_not_wait():
    sums = MetricSums(1, CPU)
    scores = torch.zeros(1, 1).expand(2**11, 2**11)  # as many numbers as may wait
    sums.add(torch.tensor([1.0]), (scores, torch.zeros(2**11, dtype=torch.long)), 2**11)
    assert len(sums._waiting) == 1
    add_one = (torch.zeros(1, 2**11), torch.zeros(1, dtype=torch.long))
    sums.add(torch.tensor([1.0]), add_one, 1)
    assert sums._waiting == []
    sums.add(torch.tensor([1.0]), add_one, 1)
    assert len(sums._waiting) == 1, "counting begins anew"
    assert sums.loss_sum.tolist() == [2**11 + 2]


def test_each_of_several_trials_has_its_own_sums():
    sums = MetricSums(2, CPU)
    scores = torch.tensor([[[1.0, 0], [0, 1]], [[1, 0], [1, 0]]])  # [T, B, K]
    sums.add(torch.tensor([0.5, 4.0]), (scores, torch.tensor([0, 1])), 2)
    assert sums.loss_sum.tolist() == [1.0, 8.0]
    assert sums.num_correct.tolist() == [2, 1]
    part = sums.part(1)
    assert (part.loss_sum.tolist(), part.num_correct.tolist(), part.num_images) == ([8.0], [1], 2)


def test_sums_are_saved_with_what_waits_and_cleared_with_it():
    sums, other = MetricSums(1, CPU), MetricSums(1, CPU)
    add(sums, 0.5, [0, 1], [0, 1])
    add(other, 9.0, [0], [1])
    other.load_state_dict(sums.state_dict())
    assert (other.loss_sum.tolist(), other.num_correct.tolist(), other.num_images) == ([1.0], [2], 2)
    add(sums, 0.5, [0, 1], [0, 1])
    sums.clear()
    assert (sums.loss_sum.tolist(), sums.num_correct.tolist(), sums.num_images) == ([0.0], [0], 0)


def test_the_sum_has_the_bits_of_additions_one_after_another():
    """Which is how they are made on CUDA, whose cumulative sum raises in deterministic mode."""
    draws = torch.Generator().manual_seed(0)
    losses = [torch.rand(3, generator=draws) * 10 ** (k - 8) for k in range(16)]
    sums, expected = MetricSums(3, torch.device("cpu")), torch.zeros(3, dtype=torch.float64)
    for one in losses:
        sums.add(one, (torch.zeros(3, 4, 2), torch.zeros(3, 4, dtype=torch.long)), 7)
        expected = expected + one.double() * 7
    assert torch.equal(sums.loss_sum, expected)


@pytest.mark.cuda
def test_sums_on_a_gpu_are_made_in_deterministic_mode_too():
    torch.use_deterministic_algorithms(True)
    sums = MetricSums(1, torch.device("cuda"))
    for number in range(40):
        scores, labels = torch.zeros(1, 4, 2, device="cuda"), torch.zeros(1, 4, dtype=torch.long, device="cuda")
        sums.add(torch.tensor([float(number)], device="cuda"), (scores, labels), 1)
    assert sums.loss_sum.item() == sum(range(40))


def test_the_part_of_a_trial_is_its_own_and_counts_are_whole_numbers():
    sums = MetricSums(3, CPU)
    part = sums.part(0)
    assert [value.shape for value in (part.loss_sum, part.num_correct)] == [(1,), (1,)]
    assert sums.state_dict()["num_correct"].dtype == torch.int64
