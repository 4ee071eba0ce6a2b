forerun_test(coordinator_tests unit
             SOURCES
               unit/admission_test.cpp
               unit/adoption_test.cpp
               unit/coordinator_audit_test.cpp
               unit/coordinator_effects_test.cpp
               unit/coordinator_learning_test.cpp
               unit/coordinator_machine_test.cpp
               unit/coordinator_state_test.cpp
               unit/declared_prior_test.cpp
               unit/hedging_test.cpp
               unit/history_test.cpp
               unit/known_nodes_test.cpp
               unit/open_past_test.cpp
               unit/overdue_tasks_test.cpp
               unit/prediction_graph_test.cpp
               unit/prediction_parts_test.cpp
               unit/prediction_reasons_test.cpp
               unit/queue_pace_test.cpp
               unit/rechecks_test.cpp
               unit/remembered_predictions_test.cpp
               unit/run_ids_test.cpp
               unit/run_times_test.cpp
               unit/telling_fields_test.cpp
               unit/turning_off_test.cpp
               unit/usefulness_test.cpp
               support/scripted_cluster.cpp
             DEPENDS forerun::coordinator forerun::storage)
