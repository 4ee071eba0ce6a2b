find_package(ZLIB REQUIRED)
forerun_test(files_tests unit
             SOURCES unit/agent_logs_test.cpp unit/catalog_file_test.cpp unit/example_call_test.cpp unit/ledger_export_test.cpp
                     unit/recorded_world_test.cpp unit/replay_record_test.cpp unit/settings_file_test.cpp unit/time_model_test.cpp
                     unit/traces_test.cpp unit/written_traces_test.cpp
             DEPENDS forerun::files ZLIB::ZLIB)
target_compile_definitions(files_tests PRIVATE FORERUN_DOCS="${PROJECT_SOURCE_DIR}/docs"
                           GOLDEN_FOLDER="${CMAKE_CURRENT_SOURCE_DIR}/data/golden")
