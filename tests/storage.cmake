forerun_test(storage_tests unit
             SOURCES unit/checked_recovery_test.cpp unit/store_test.cpp unit/store_file_test.cpp unit/store_history_test.cpp unit/store_crash_test.cpp unit/power_cut_test.cpp unit/store_measure.cpp
             DEPENDS forerun::storage SQLite::SQLite3)
