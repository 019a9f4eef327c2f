"""Finding a config by its name in the package's metafile, from a checkout or from an installed package."""

from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import load

INDEX = 'model-index.yml'


def package_root() -> Path:
    """The folder with ``model-index.yml`` and ``configs``: the checkout, or ``mmavs/.mim`` when installed.

    Raises:
        FileNotFoundError: If neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent, package / '.mim'):
        # A folder `configs` beside an installed package may be anyone's: ours has the package's own metafile.
        if (folder / INDEX).is_file() and (folder / 'configs' / 'avs_mamba').is_dir():
            return folder
    raise FileNotFoundError(f'{package.parent} and {package / ".mim"} have no {INDEX}: the installation is incomplete, '
                            'give the path of a config file.')


def model_entries() -> dict[str, dict]:
    """Metafile entries by lower-case name and alias."""
    root, entries = package_root(), {}
    for metafile in load(root / INDEX)['Import']:
        for entry in load(root / metafile)['Models']:
            aliases = entry.get('Alias') or []
            for name in [entry['Name'], *([aliases] if isinstance(aliases, str) else aliases)]:
                entries[name.lower()] = entry
    return entries


def find_model(name: str) -> tuple[Config, str | None]:
    """Look up a config by name.

    Args:
        name: Name or alias in the metafile, in any case, e.g. ``pvt_ms3``.

    Returns:
        The config, and the weights that the metafile names for it (None where it names none).

    Raises:
        FileNotFoundError: If ``name`` looks like a path, and there is no such file.
        ValueError: If the name is unknown; the message lists the known ones.
    """
    if name.endswith(('.py', '.yml', '.yaml', '.json')):
        raise FileNotFoundError(f'There is no config file {name}.')
    entries = model_entries()
    entry = entries.get(name.lower())
    if entry is None:
        raise ValueError(f'{name!r} is neither a config file nor a known model; known are '
                         f'{", ".join(sorted(entries))}.')
    weights = entry.get('Weights')
    weights = weights[0] if isinstance(weights, list) else weights
    return Config.fromfile(package_root() / entry['Config']), weights
