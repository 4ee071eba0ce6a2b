forerun_test(executors_tests unit SOURCES unit/executors_test.cpp unit/replay_executor_test.cpp DEPENDS forerun::executors)
