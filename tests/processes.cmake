find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME cluster_process_tests
         COMMAND ${Python3_EXECUTABLE} -m unittest discover -s ${CMAKE_CURRENT_SOURCE_DIR}/cluster)
set_tests_properties(cluster_process_tests PROPERTIES LABELS cluster RUN_SERIAL ON TIMEOUT 900
                     ENVIRONMENT "FORERUN_BINARY=$<TARGET_FILE:forerun>;PYTHONDONTWRITEBYTECODE=1")
