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
# At every durable step of coordinator and node: a kill, a power cut, a failed system call.
add_test(NAME failpoint_rounds COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cluster/failpoint_rounds.py)
# How long it takes to be back, with limits that a quiet machine keeps; ten times the load; open sessions and flat memory.
add_test(NAME recovery_times COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cluster/recovery.py --runs 3)
add_test(NAME overload COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cluster/soak.py overload --seconds 60)
add_test(NAME soak COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cluster/soak.py soak --seconds 60 --sessions 1500)
set_tests_properties(failpoint_rounds recovery_times overload soak PROPERTIES
                     LABELS "cluster;long" RUN_SERIAL ON TIMEOUT 1500
                     ENVIRONMENT "FORERUN_BINARY=$<TARGET_FILE:forerun>;PYTHONDONTWRITEBYTECODE=1")
