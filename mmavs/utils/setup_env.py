"""Registering everything at once, for programs that look for it in every OpenMMLab package."""


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import all modules of this package that register classes.

    Types written ``mmavs.X`` are found without it; ``mmengine.hub.get_model`` calls it.

    Args:
        init_default_scope: Make ``mmseg`` the default scope, as the configs of this package do. Default True.
    """
    # Here, since `import mmavs.ops` has to work without mmengine.
    from mmengine.registry import Registry
    from mmengine.registry import init_default_scope as set_scope

    import mmavs.registry
    for registry in vars(mmavs.registry).values():
        if isinstance(registry, Registry) and registry.scope == 'mmavs':
            registry.import_from_location()
    if init_default_scope:
        set_scope('mmseg')
