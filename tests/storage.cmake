forerun_test(storage_tests unit
             SOURCES unit/checked_recovery_test.cpp unit/golden_store_test.cpp unit/store_test.cpp unit/store_file_test.cpp unit/store_history_test.cpp unit/store_crash_test.cpp unit/power_cut_test.cpp unit/recovered_texts_test.cpp unit/store_measure.cpp
             DEPENDS forerun::storage SQLite::SQLite3)
target_compile_definitions(storage_tests PRIVATE GOLDEN_FOLDER="${CMAKE_CURRENT_SOURCE_DIR}/data/golden")
