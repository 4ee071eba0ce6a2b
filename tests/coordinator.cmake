forerun_test(coordinator_tests unit SOURCES unit/admission_test.cpp unit/prediction_graph_test.cpp
             DEPENDS forerun::coordinator)
