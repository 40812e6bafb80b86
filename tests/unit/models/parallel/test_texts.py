from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.parallel.texts import TextReader, encode_texts


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**31))
def test_texts_come_back_as_they_were(num_texts: int, num_tokens: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 2**31 - 1, (num_texts, num_tokens), generator=generator)
    mask = torch.randint(0, 2, (num_texts, num_tokens), generator=generator)
    message = encode_texts(ids, mask)
    assert message.dtype == torch.int32
    given_to_it = TextReader("cpu")(message)
    assert torch.equal(given_to_it.ids, ids)
    (attention_mask,) = given_to_it.body.values()
    assert isinstance(attention_mask, torch.Tensor)
    assert torch.equal(attention_mask, mask)
    assert not given_to_it.head
