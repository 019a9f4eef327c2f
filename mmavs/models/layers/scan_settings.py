"""Settings that the scan blocks have in common."""

from mmavs.utils.arguments import check_whole

# Row by row and column by column. With their reverses these are the K = 4 orders of VSS, V2A and A2V; across frames
# the time axis is outermost in both ("spatial-first").
FRAME_ORDERS = ('THW', 'TWH')
PRE_NORM_EPS = 1e-6


def resolve_dt_rank(dt_rank: int | None, channels: int) -> int:
    """Rank of the step size: as given, or a sixteenth of the channels (at least 1)."""
    return max(channels // 16, 1) if dt_rank is None else dt_rank


def inner_channels(channels: int, expand: int) -> int:
    """Channels inside a scan block.

    Raises:
        ValueError: If ``expand`` is no whole number of at least 1.
    """
    check_whole('expand', expand)
    return channels * expand
