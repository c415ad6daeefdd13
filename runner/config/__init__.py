"""Configs: composed from groups, checked against constructors, and what of a stored one may change."""

from runner.config.allowlist import check_trusted, trust_flag
from runner.config.checking import (
    bounds,
    check,
    check_sweep,
    has_auto_batch_size,
    has_auto_lr,
    is_plain,
    is_without_effect,
    parameters_of,
    renamed_or_nearest,
    resolve,
    resolve_nested,
    search_modules_in,
)
from runner.config.combinations import check_combinations, notes
from runner.config.composing import choices, compose, compose_with_choices, explain, flatten, load_plugins, words_of
from runner.config.errors import LIST_GROUPS, check_flags, odd_file, option_hint, unchosen_option, visible
from runner.config.naming import said, short_key
from runner.config.stored import (
    FREE_KEYS,
    check_stored_words,
    fixed,
    identity,
    is_free,
    settle,
    stored_config,
    with_overrides,
    with_paths_found,
)
from runner.config_folders import (
    add_user_folder,
    all_folders,
    folder,
    group_descriptions,
    is_group,
    named_folders,
    option_files,
    search_path_override,
    user_folders,
)
