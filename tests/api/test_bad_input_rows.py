"""Which test holds which row of the list of bad inputs, and of the list of poison stages.

A row that is not here is missing; a test that is named here exists. Rows of what does not exist yet
say so under LATER, and move up with it.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = {*range(1, 12), 13, 14, *range(15, 19), 20, 21, 22, 24, 25, 26, 27, 28, *range(30, 38),
        *range(39, 45), 46, 49, 50, 51, 52, 53, 56}  # fmt: skip

BODY = "tests/api/test_bad_input.py"
CLIENT = "tests/api/test_bad_input_client.py"
FILES = "tests/cli/test_bad_input_files.py"
TERMINAL = "tests/e2e/test_bad_input_terminal.py"
DAEMON = "tests/e2e/test_daemon.py"
POISON = "tests/executors/test_poison.py"
LIFE = "tests/executors/test_worker_life.py"
ARTIFACTS = "tests/runtime/test_artifacts.py"
SECRETS = "tests/test_secrets.py"
CALLS = "flowdapt/testing/executor_parts.py"
BASE = "flowdapt/testing/executor_base.py"
EXECUTORS = "tests/e2e/test_executor_requests.py"
WEBHOOK = "tests/plugins/actions/test_webhook.py"

# Row: what comes in, and the tests that hold what must become of it.
HELD: dict[int, tuple[str, tuple[str, ...]]] = {
    2: ("no Host, two Hosts, another host in the address", (
        f"{CLIENT}::test_a_head_that_is_no_request_is_refused",)),
    4: ("a form, or text that is JSON", (f"{BODY}::test_row_04_a_form_of_a_web_page_is_not_read",)),
    5: ("a preflight of a web page", (
        f"{CLIENT}::test_row_05_a_preflight_of_a_web_page_gets_no_permission",)),
    10: ("another user at the socket", (
        f"{DAEMON}::test_another_user_is_kept_out_even_where_the_doors_were_opened",
        "tests/api/test_server.py::test_another_user_is_shown_the_door")),
    11: ("a socket directory that is a link, open, or another's", (
        f"{DAEMON}::test_an_open_home_is_refused", f"{DAEMON}::test_a_home_that_is_a_link_is_refused",
        f"{DAEMON}::test_a_home_of_another_user_is_refused",
        "tests/api/test_server.py::test_a_directory_that_others_may_enter_is_refused")),
    13: ("umask 000", (f"{DAEMON}::test_every_file_is_ours_alone_whatever_the_umask",
                       f"{ARTIFACTS}::test_files_are_private_whatever_the_umask")),
    14: ("a file of secrets that is loose, a link, a pipe or empty", (
        f"{SECRETS}::test_a_file_that_others_may_read_is_refused_with_the_fix",
        f"{SECRETS}::test_links_fifos_and_empty_files_are_refused",
        f"{SECRETS}::test_a_loose_directory_is_refused")),
    15: ("200 clients that drip", (
        f"{CLIENT}::test_row_15_two_hundred_who_drip_are_cut_and_others_are_answered",
        "tests/e2e/test_flood.py::test_a_flood_of_clients_leaves_the_daemon_answerable")),
    16: ("a length that cannot be trusted", (
        f"{BODY}::test_a_length_that_cannot_be_trusted_is_refused",
        f"{CLIENT}::test_a_request_hidden_in_another_is_not_answered")),
    17: ("a compressed body", (f"{BODY}::test_row_17_a_compressed_body_is_not_unpacked",)),
    18: ("JSON that is deep, endless, doubled or no text", (
        f"{BODY}::test_an_odd_body_is_refused",
        f"{BODY}::test_an_idempotency_key_outside_its_alphabet_is_refused",
        f"{FILES}::test_a_bad_file_of_input_is_told_and_nothing_is_sent",
        f"{FILES}::test_a_bad_value_among_the_words_is_told_and_nothing_is_sent")),
    20: ("YAML tags", (f"{BODY}::test_a_bad_text_is_refused", f"{FILES}::test_a_bad_file_is_told_at_its_place")),
    21: ("YAML bombs", (f"{BODY}::test_a_bad_text_is_refused",
                        "tests/domain/test_documents.py::test_aliases_of_long_texts_are_bounded_too")),
    22: ("20,000 brackets", (f"{BODY}::test_a_bad_text_is_refused",)),
    24: ("duplicate keys, and what looks like another type", (
        f"{BODY}::test_a_bad_text_is_refused", f"{BODY}::test_row_24_words_and_sexagesimals_are_texts",
        "tests/domain/test_documents.py::test_only_what_the_core_schema_knows_has_a_type")),
    25: ("other encodings, tabs, 2 MB, several documents", (
        f"{BODY}::test_a_bad_text_is_refused", f"{BODY}::test_row_25_several_documents_are_fine",
        f"{FILES}::test_a_file_without_end_is_refused")),
    26: ("names of artifacts that lead elsewhere", (
        f"{BODY}::test_a_bad_name_in_a_path_is_refused",
        f"{BODY}::test_row_26_dots_and_empty_segments_lead_nowhere",
        f"{ARTIFACTS}::test_a_bad_name_is_refused_wherever_it_stands")),
    27: ("names that look like others", (f"{BODY}::test_a_bad_name_in_a_body_is_refused",)),
    28: ("a link that a stage placed", (
        f"{BODY}::test_row_28_what_a_stage_placed_beside_its_artifact_is_not_given_out",
        "tests/api/test_artifacts.py::test_a_link_that_a_stage_placed_is_not_followed",
        f"{ARTIFACTS}::test_a_link_to_a_folder_is_as_good_as_missing",
        f"{ARTIFACTS}::test_a_fifo_does_not_hang_the_reader")),
    30: ("chained and unknown protocols", (
        f"{ARTIFACTS}::test_chained_and_unknown_protocols_are_refused",)),
    31: ("archives that lead elsewhere", (
        "tests/api/test_bad_input_rows.py::test_row_31_nothing_unpacks_an_archive",
        "tests/runtime/test_formats.py::test_an_archive_of_arrays_is_not_opened")),
    32: ("an artifact that is a page", ("tests/api/test_artifacts.py::test_a_download_cannot_run_in_a_browser",)),
    33: ("targets outside the allowed ones", (
        f"{BODY}::test_a_target_that_may_not_be_is_refused", f"{BODY}::test_row_33_the_daemon_imports_no_target",
        "tests/house/test_imports.py::test_code_is_imported_by_name_in_known_places_only")),
    34: ("targets that are none", (f"{BODY}::test_a_target_that_may_not_be_is_refused",)),
    35: ("a module called as one of Python's", (
        f"{LIFE}::test_a_file_of_the_project_does_not_replace_pythons_own",)),
    46: ("text that a terminal would obey", (
        f"{TERMINAL}::test_row_46_no_control_of_a_payload_is_written",
        f"{TERMINAL}::test_row_46_bars_in_place_are_the_programs_own",
        f"{TERMINAL}::test_row_46_an_error_about_a_payload_writes_none_of_it",
        f"{TERMINAL}::test_row_46_a_document_of_payloads_is_refused_in_plain_text",
        "tests/domain/test_display.py::test_every_control_of_unicode_is_shown_and_every_letter_stays",
        "tests/test_logs.py::test_a_terminal_gets_nothing_that_it_would_obey")),
    49: ("a pickle", (
        f"{BODY}::test_row_49_pickle_as_such_is_not_read", f"{BODY}::test_an_odd_body_is_refused",
        f"{ARTIFACTS}::test_an_uploaded_pickle_is_not_loaded",
        "tests/house/test_imports.py::test_pickles_are_loaded_in_workers_only")),
    50: ("a value that changed on disk", (
        f"{POISON}::test_a_changed_file_is_noticed_before_it_is_read",
        f"{ARTIFACTS}::test_a_changed_pickle_is_not_loaded")),
    51: ("a secret that a stage prints, raises or encodes", (
        "tests/e2e/test_meaning.py::test_a_secret_is_nowhere_but_in_its_stage",
        f"{POISON}::test_a_secret_in_two_pieces_is_masked", f"{POISON}::test_an_encoded_secret_is_masked",
        f"{BASE}::test_a_secret_is_masked_in_errors")),
    52: ("`***` in place of a secret", (
        f"{BODY}::test_row_52_a_masked_value_keeps_the_secret_that_is_there",
        f"{SECRETS}::test_the_mask_stands_for_the_value_that_is_there")),
    53: ("what only the server may say", (
        f"{BODY}::test_row_53_what_the_server_owns_cannot_be_sent", f"{BODY}::test_a_wrong_query_is_refused")),
    56: ("a remote database or cluster without TLS; a broken plugin", (
        f"{EXECUTORS}::test_a_remote_address_without_tls_is_refused_unless_insecure_is_written",
        "tests/e2e/test_postgresql.py::test_a_database_elsewhere_without_tls_is_refused_with_the_way_out",
        "tests/plugins/test_manager.py::test_a_broken_plugin_is_named_and_the_others_work")),
    36: ("an action that would be an import", (f"{BODY}::test_a_rule_that_may_not_be_is_refused",)),
    37: ("a condition that is no condition, too deep or too large", (
        f"{BODY}::test_a_rule_that_may_not_be_is_refused",
        "tests/domain/test_conditions.py::test_a_bomb_is_refused_at_once",
        "tests/domain/test_conditions.py::test_names_of_python_are_only_keys")),
    39: ("a pattern that would take for ever", (
        "tests/domain/test_conditions.py::test_a_pattern_takes_time_in_proportion_to_the_text",
        "tests/domain/test_conditions.py::test_a_long_text_is_not_matched")),
    40: ("a schedule or a zone that cannot be", (
        f"{BODY}::test_a_rule_that_may_not_be_is_refused",
        "tests/domain/test_schedule.py::test_a_line_that_cannot_be_is_refused_by_name",
        "tests/domain/test_schedule.py::test_a_zone_that_is_not_on_the_list_is_refused")),
    41: ("a webhook to a closed address, however it is spelled", (
        f"{BODY}::test_a_rule_that_may_not_be_is_refused",
        "tests/domain/test_outbound.py::test_what_is_not_public_is_closed",
        f"{WEBHOOK}::test_an_address_inside_is_refused_without_connecting")),
    42: ("a name that flips, and redirects", (
        f"{WEBHOOK}::test_a_name_that_flips_is_asked_once_and_the_checked_address_is_used",
        f"{WEBHOOK}::test_redirects_are_not_followed")),
    43: ("a receiver that answers without end, slowly, or never", (
        f"{WEBHOOK}::test_an_endless_answer_is_left_after_64_kib",
        f"{WEBHOOK}::test_a_receiver_has_ten_seconds")),
    44: ("line ends in a webhook's words, and templates", (
        f"{BODY}::test_a_rule_that_may_not_be_is_refused",)),
}  # fmt: skip
_TCP = "there is no TCP yet, and a web page cannot reach a Unix socket"
LATER: dict[int, str] = {
    1: _TCP, 3: _TCP, 6: _TCP, 7: _TCP, 8: _TCP, 9: _TCP,
}  # fmt: skip

STAGES: dict[str, tuple[str, ...]] = {
    "segfaults, exits, or ends before its result": (
        f"{POISON}::test_a_segfault_is_lost_with_its_signal", f"{CALLS}::test_a_body_that_ends_its_process_is_lost",
        f"{CALLS}::test_an_exit_before_the_result_is_no_success"),
    "loops and ignores SIGTERM": (f"{CALLS}::test_a_deaf_body_is_dead_soon_after_its_grace",),
    "eats memory": (f"{POISON}::test_a_memory_hog_fails_under_its_limit_and_the_next_task_has_room",),
    "returns what cannot be pickled or read back": (
        f"{BASE}::test_what_cannot_be_pickled_fails_by_type_and_path",
        f"{POISON}::test_what_cannot_be_read_back_fails_where_it_is_made",
        f"{POISON}::test_a_pickle_is_read_by_workers_alone"),
    "prints without measure, or what is no text": (
        f"{POISON}::test_a_gibibyte_of_output_is_drained_and_capped",
        f"{POISON}::test_a_line_of_ten_megabytes_keeps_its_head_and_tail",
        f"{POISON}::test_odd_bytes_are_kept_and_readable"),
    "leaves children": (f"{POISON}::test_what_a_task_left_running_is_gone_soon",
                        f"{POISON}::test_nobody_waits_for_a_child_that_holds_the_socket"),
    "writes junk to the pipe of results": (f"{POISON}::test_junk_on_the_result_socket_is_lost",
                                           f"{POISON}::test_a_message_without_end_is_lost"),
    "changes what the process stands on": (f"{LIFE}::test_what_a_task_disturbed_is_put_back",
                                           f"{CALLS}::test_an_isolated_task_has_a_process_of_its_own"),
    "raises what cannot speak, or too much": (f"{BASE}::test_an_error_without_words_still_fails",
                                              f"{POISON}::test_a_message_of_100_megabytes_is_cut"),
    "fails or hangs at import": (f"{LIFE}::test_a_module_that_raises_at_import_fails_with_its_error",
                                 f"{LIFE}::test_a_module_that_hangs_at_import_is_lost_at_the_start_timeout"),
}  # fmt: skip
STAGES_LATER = {"starts runs without end": "the depth of causes is counted by the triggers"}
POISON_ROWS = 11


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_row_is_held_or_said_to_come() -> None:
    assert HELD.keys() | LATER.keys() == ROWS
    assert not HELD.keys() & LATER.keys()
    assert len(STAGES) + len(STAGES_LATER) == POISON_ROWS
    assert all(tests for _, tests in HELD.values())


@pytest.mark.parametrize("node", sorted({node for _, tests in HELD.values() for node in tests}
                                        | {node for tests in STAGES.values() for node in tests}))  # fmt: skip
def test_the_test_that_is_named_exists(node: str) -> None:
    path, _, name = node.partition("::")
    assert name in functions_of(path)


@pytest.mark.parametrize("path", [BODY, CLIENT, FILES, TERMINAL])
def test_a_test_of_a_row_is_named_by_that_row(path: str) -> None:
    """What calls itself by a row belongs to one that is held."""
    for name in functions_of(path):
        if name.startswith("test_row_"):
            assert int(name.split("_")[2]) in HELD, name


def test_row_31_nothing_unpacks_an_archive() -> None:
    unpacking = {"extract", "extractall", "unpack_archive", "decompress"}
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in (ROOT / "flowdapt").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in unpacking
    ]
    assert found == []
