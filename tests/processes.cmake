find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME cluster_process_tests
         COMMAND ${Python3_EXECUTABLE} -m unittest discover -s ${CMAKE_CURRENT_SOURCE_DIR}/cluster)
set_tests_properties(cluster_process_tests PROPERTIES LABELS cluster RUN_SERIAL ON TIMEOUT 900
                     ENVIRONMENT "FORERUN_BINARY=$<TARGET_FILE:forerun>;PYTHONDONTWRITEBYTECODE=1")
# Rounds of kills, stops and restarts while clients work.
add_test(NAME kill_rounds COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cluster/kill_rounds.py --rounds 50)
set_tests_properties(kill_rounds PROPERTIES LABELS cluster RUN_SERIAL ON TIMEOUT 900
                     ENVIRONMENT "FORERUN_BINARY=$<TARGET_FILE:forerun>;PYTHONDONTWRITEBYTECODE=1")
