find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME cluster_process_tests
         COMMAND ${Python3_EXECUTABLE} -m unittest discover -s ${CMAKE_CURRENT_SOURCE_DIR}/cluster)
set_tests_properties(cluster_process_tests PROPERTIES LABELS cluster RUN_SERIAL ON TIMEOUT 900
                     ENVIRONMENT "FORERUN_BINARY=$<TARGET_FILE:forerun>;PYTHONDONTWRITEBYTECODE=1")
# Rounds of kills, stops and restarts while clients work.
foreach(rounds 5 50)
  add_test(NAME kill_${rounds}_rounds
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cluster/kill_rounds.py --rounds ${rounds} --seed ${rounds})
  set_tests_properties(kill_${rounds}_rounds PROPERTIES LABELS cluster RUN_SERIAL ON TIMEOUT 900
                       ENVIRONMENT "FORERUN_BINARY=$<TARGET_FILE:forerun>;PYTHONDONTWRITEBYTECODE=1")
endforeach()
set_tests_properties(kill_50_rounds PROPERTIES LABELS long)
