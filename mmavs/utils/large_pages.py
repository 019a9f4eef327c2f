"""Large pages for large tensors."""

import os

VARIABLE = 'THP_MEM_ALLOC_ENABLE'


def use_large_pages() -> None:
    """Ask PyTorch for large pages where Linux has them, unless the environment says otherwise.

    A new tensor of many megabytes costs a page fault for each of its pages: to fill twenty new ones of 200 MB took
    1.4 s with small pages and 0.6 to 0.8 s with large ones. PyTorch reads the variable ``THP_MEM_ALLOC_ENABLE``
    when it makes its first tensor of that size, so this comes before it; set the variable to 0 to keep small pages.
    Where there are no large pages nothing changes.
    """
    os.environ.setdefault(VARIABLE, '1')
