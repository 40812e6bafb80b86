"""The device table against the card at hand."""

from __future__ import annotations

import pytest
import torch

from models.devices import device_of_driver

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


def test_the_table_promises_no_more_than_cuda_offers_and_not_much_less() -> None:
    name = torch.cuda.get_device_name(0)
    device = device_of_driver(name)
    assert device is not None, f"{name!r} is not in the table"
    _, offered_bytes = torch.cuda.mem_get_info(0)
    assert device.usable_bytes <= offered_bytes <= device.memory_bytes
    assert device.usable_bytes > 0.92 * offered_bytes
