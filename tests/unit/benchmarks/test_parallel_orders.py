from __future__ import annotations

from itertools import pairwise, product

from benchmarks.parallel_orders import Filling, Window

VOCABULARY = 49_152


def test_no_two_windows_have_a_prompt_in_common() -> None:
    windows = [Window(number, clients, 2, 64) for number, clients in product(range(-1, 5), (1, 8))]
    prompts = [
        window.prompt(client, turn, VOCABULARY)
        for window in windows
        for client, turn in product(range(window.clients), range(window.num_turns))
    ]
    assert len({prompt[:16] for prompt in prompts}) == len(prompts)
    assert {len(prompt) for prompt in prompts} == {16, 32, 64, 128, 256}
    assert all(0 <= token < VOCABULARY for prompt in prompts for token in prompt if isinstance(token, int))


def test_every_engine_gets_the_same_prompts() -> None:
    assert Window(1, 8, 1, 64).prompt(3, 0, 100) == Window(1, 8, 1, 64).prompt(3, 0, 100)


def test_full_sequences_come_from_everywhere_in_the_vocabulary() -> None:
    filling = Filling(0, 4, 1, 32, 992)
    prompts = [filling.prompt(client, 0, VOCABULARY) for client in range(4)]
    assert {len(prompt) for prompt in prompts} == {992}
    tokens = sorted(int(token) for prompt in prompts for token in prompt)
    assert len(set(tokens)) == 4 * 992
    assert max(after - before for before, after in pairwise(tokens)) <= 13
    assert tokens[-1] >= VOCABULARY - 13
