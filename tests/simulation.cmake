# Whole clusters on virtual time: no rule breaks in 20,000 seeds, every fault strikes at every step of the protocol, and each
# planted bug is found at its recorded seed.
function(forerun_sim_test name)
  cmake_parse_arguments(arg "" "PROCESSORS" "COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${arg_COMMAND})
  set_tests_properties(${name} PROPERTIES LABELS sim TIMEOUT 1500 PROCESSORS ${arg_PROCESSORS})
endfunction()
forerun_sim_test(sim_1000_seeds PROCESSORS 2 COMMAND forerun-sim --seeds 1000 --jobs 2)
forerun_sim_test(sim_20000_seeds PROCESSORS 2 COMMAND forerun-sim --seeds 20000 --jobs 2 --coverage)
forerun_sim_test(sim_imposter PROCESSORS 2 COMMAND forerun-sim --seeds 300 --imposter --jobs 2)
set_tests_properties(sim_20000_seeds PROPERTIES LABELS long)
forerun_sim_test(sim_same_seed_same_trace PROCESSORS 1
                 COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/sim_same_trace.sh $<TARGET_FILE:forerun-sim>)
forerun_sim_test(sim_planted_bugs PROCESSORS 1
                 COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/sim_planted_bugs.py $<TARGET_FILE:forerun-sim-planted>
                         ${PROJECT_SOURCE_DIR}/docs/simulation.md)
forerun_sim_test(sim_minimises PROCESSORS 1
                 COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/sim_minimises.sh $<TARGET_FILE:forerun-sim-planted>)
